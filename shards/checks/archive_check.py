"""Read one shard once, from its first byte to its last, and note everything that is wrong on the way.

The checksum is taken of the same bytes that are checked. Memory holds one clip at a time. Unlike a reader, nothing
here stops at the first fault: after a damaged header the scan goes on at the next clip whose place is known.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import ShardFormatError
from ..format.clip import MEMBERS
from ..format.tar import BLOCK, RECORD, Member, encode_header
from ..index.clip_table import TableWriter
from ..store import Root
from ..stores.open import open_store
from .clip_check import check_clip
from .problem import Problem

_CHUNK_BYTES = 1 << 20
_HEADER_FIELDS = (
    ("name", 0), ("mode", 100), ("uid", 108), ("gid", 116), ("size", 124), ("mtime", 136), ("checksum", 148),
    ("type", 156), ("link name", 157), ("magic", 257), ("uname", 265), ("gname", 297), ("device", 329),
    ("prefix", 345), ("padding", 500), ("", BLOCK),
)  # fmt: skip
"""Fields of a USTAR header with their first bytes (POSIX.1-1988)."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one shard holds."""

    size: int
    sha256: str
    md5: str
    keys: tuple[str, ...]
    """Of all whole clips, in the order of the tar."""
    table: TableWriter
    """Holds the rows of all clips whose metadata are usable."""
    problems: tuple[Problem, ...]


def scan_shard(root: Root, path: str, *, offsets: Sequence[int] = (), longest: float | None = None) -> Scan:
    """Read a shard and check every member against the format.

    Args:
        root: where the dataset lies.
        path: the shard's under the root, `<split>/<file>`.
        offsets: bytes at which clips begin as far as the index knows, to go on at after a damaged header.
        longest: the longest that a clip may be, seconds; None where it is not known.

    Raises:
        OSError, StoreError: when the file cannot be read.
    """
    store = open_store(root)
    size = store.size(path)
    with store.stream(path, 0, size) as file:
        stream = _Stream(file, size)
        clips = _Clips(path, longest)
        for member in _iter_members(stream, clips, offsets):
            clips.add(*member)
        clips.finish()
        stream.read_rest()
        return Scan(
            stream.position, stream.sha256.hexdigest(), stream.md5.hexdigest(), tuple(clips.keys), clips.table,
            tuple(clips.problems),
        )  # fmt: skip


class _Stream:
    """A file read forward once, with the checksum of what was read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size = file, size
        self.position = 0
        self.sha256, self.md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def read(self, count: int) -> bytes:
        data = self._file.read(count)
        self.sha256.update(data)
        self.md5.update(data)
        self.position += len(data)
        return data

    def read_rest(self, stop: int | None = None) -> bool:
        """Read to `stop`, or to the end; return whether all of it was zeros."""
        zeros = True
        while data := self.read(_CHUNK_BYTES if stop is None else min(_CHUNK_BYTES, stop - self.position)):
            zeros = zeros and data.count(0) == len(data)
        return zeros


class _Clips:
    """Members put together to clips."""

    def __init__(self, where: str, longest: float | None) -> None:
        self._where, self._split, self._longest = where, where.partition("/")[0], longest
        self.keys: list[str] = []
        self.table = TableWriter()
        self.problems: list[Problem] = []
        self._seen: dict[str, str] = {}
        self._whole: set[str] = set()
        self._partial: dict[str, Problem] = {}
        self._apart: set[str] = set()
        self._key = ""
        self._members: list[tuple[str, int, bytes]] = []

    def note(self, code: str, message: str, key: str = "") -> None:
        self.problems.append(Problem(self._where, code, message, key))

    def add(self, name: str, offset: int, data: bytes) -> None:
        """Take the next member; `offset` is that of its header."""
        key, _, suffix = name.partition(".")
        if key != self._key or suffix == MEMBERS[0]:
            self.end_clip()
        self._key = key
        self._members.append((suffix, offset, data))

    def end_clip(self) -> None:
        """Close the clip in hand: the next member is another's."""
        if not self._members:
            return
        key, members, self._members = self._key, self._members, []
        suffixes = tuple(suffix for suffix, _, _ in members)
        whole = suffixes == MEMBERS
        before = self._seen.setdefault(key.lower(), key)
        if key in self._partial or not whole and key in self._whole:
            self._partial.pop(key, None)
            self._apart.add(key)
        elif not whole and key not in self._apart:
            found, wanted = ", ".join(suffixes), ", ".join(MEMBERS)
            self._partial[key] = Problem(self._where, "members", f"has the members {found}; expected {wanted}", key)
        elif whole and (before != key or key in self._whole):
            self.note(
                "duplicate_key", "occurs twice" if before == key else f"differs from {before!r} in case only", key
            )
        if whole:
            self._take(key, members)

    def finish(self) -> None:
        """Say which clips never became whole."""
        self.end_clip()
        self.problems += self._partial.values()
        for key in sorted(self._apart):
            self.note("not_adjacent", "its members lie apart; loaders make two samples of them", key)

    def _take(self, key: str, members: list[tuple[str, int, bytes]]) -> None:
        json_bytes, wav, mjpg = (data for _, _, data in members)
        metadata, faults = check_clip(key, self._split, json_bytes, wav, mjpg, self._longest)
        for code, message in faults:
            self.note(code, message, key)
        self.keys.append(key)
        self._whole.add(key)
        if metadata is not None:
            places = [Member(f"{key}.{suffix}", offset + BLOCK, len(data)) for suffix, offset, data in members]
            self.table.add(metadata, places)


def _iter_members(stream: _Stream, clips: _Clips, offsets: Sequence[int]) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, header offset and content of each regular file; note what is wrong with the archive."""
    while True:
        start = stream.position
        header = stream.read(BLOCK)
        if len(header) < BLOCK:
            clips.note("end", f"ends at byte {stream.position} without the two closing blocks: it was cut")
            return
        if not any(header):
            _check_end(stream, clips, start)
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
            if info.size < 0:
                raise ValueError("negative size")
        except (tarfile.TarError, ValueError) as error:
            clips.note("header", f"damaged tar header at byte {start} ({error})")
            clips.end_clip()
            following = min((offset for offset in offsets if offset > start), default=None)
            stream.read_rest(following)
            if following is None or stream.position < following:
                return
            continue
        _check_header(clips, header, info, start)
        if info.size > stream.size - stream.position:
            clips.note("end", f"ends inside member {info.name!r}, which begins at byte {start}: it was cut")
            return
        data = stream.read(info.size)
        if any(stream.read(-info.size % BLOCK)):
            clips.note("padding", f"the bytes behind member {info.name!r} are not zero")
        if info.isreg():
            yield info.name, start, data


def _check_header(clips: _Clips, header: bytes, info: tarfile.TarInfo, start: int) -> None:
    """Note where a header is not the one that the format prescribes."""
    try:
        expected = encode_header(info.name, info.size)
    except (ShardFormatError, ValueError) as error:
        clips.note("header", f"{error} (at byte {start})")
        return
    if header != expected:
        wrong = [
            name
            for (name, first), (_, stop) in zip(_HEADER_FIELDS, _HEADER_FIELDS[1:], strict=False)
            if header[first:stop] != expected[first:stop] and name != "checksum"
        ]
        fields_text = ", ".join(wrong) or "checksum"
        clips.note("header", f"the header of {info.name!r} at byte {start} is not plain: {fields_text}")


def _check_end(stream: _Stream, clips: _Clips, start: int) -> None:
    zeros = stream.read_rest()
    if stream.position < start + 2 * BLOCK:
        clips.note("end", f"has only one of the two closing blocks, at byte {start}")
    elif not zeros:
        clips.note("end", f"has data after the end of the archive at byte {start}")
    elif stream.position % RECORD:
        clips.note("end", f"is {stream.position} bytes long, which is no multiple of {RECORD}")
