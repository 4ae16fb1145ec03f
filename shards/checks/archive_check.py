"""Read one shard once, from its first byte to its last, and note everything that is wrong on the way.

The checksum is taken of the same bytes that are checked. Memory holds one frame at a time. Unlike a reader, nothing
here stops at the first fault: after a damaged header the scan goes on at the next clip whose place is known.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from ..errors import ShardFormatError, ShardTruncatedError
from ..format import sound_codec
from ..format.clip import MEMBERS, MOST_METADATA_BYTES, ClipMetadata
from ..format.tar import Content, Member, iter_members
from ..index.clip_table import TableWriter
from ..store import Root
from ..stores.open import open_store
from .clip_check import Fault, check_clip
from .problem import Problem

_CHUNK_BYTES = 1 << 20


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
        offsets: bytes at which headers of clips begin, as far as the index knows.
        longest: the longest that a clip may be, seconds; None where it is not known.

    Raises:
        OSError, StoreError: when the file cannot be read.
    """
    store = open_store(root)
    size = store.size(path)
    with store.stream(path, 0, size) as file:
        stream, clips = _Stream(file), _Clips(path, longest)
        for member, content in iter_members(cast(BinaryIO, stream), clips.note, offsets):
            with suppress(ShardTruncatedError):  # told by the walk
                clips.add(member, content)
        clips.finish()
        stream.read_rest()
        return Scan(
            stream.position, stream.sha256.hexdigest(), stream.md5.hexdigest(), tuple(clips.keys), clips.table,
            tuple(clips.problems),
        )  # fmt: skip


class _Stream:
    """A file read forward once, with the checksums of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.position = file, 0
        self.sha256, self.md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)

    def read(self, count: int) -> bytes:
        """Return the next bytes; fewer at the end."""
        data = self._file.read(count)
        self.sha256.update(data)
        self.md5.update(data)
        self.position += len(data)
        return data

    def read_rest(self) -> None:
        while self.read(_CHUNK_BYTES):
            pass


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
        self._members: list[Member] = []
        self._json, self._wav = b"", (b"", 0)
        self._checked: tuple[ClipMetadata | None, list[Fault]] = (None, [])

    def note(self, code: str, what: object, key: str = "") -> None:
        self.problems.append(Problem(self._where, code, str(what), key))

    def add(self, member: Member, content: Content) -> None:
        """Take the next member, whole or not at all. Raises ShardTruncatedError where the shard ends within it."""
        key, _, suffix = member.name.partition(".")
        if key != self._key or suffix == MEMBERS[0]:
            self._end_clip()
        self._key = key
        if suffix == MEMBERS[0]:
            self._json = content.read(MOST_METADATA_BYTES + 1)
        elif suffix == MEMBERS[1]:
            self._wav = content.read(sound_codec.HEADER_BYTES), member.size
        elif (*map(_suffix, self._members), suffix) == MEMBERS:
            frames = content, member.size
            self._checked = check_clip(key, self._split, self._json, self._wav, frames, self._longest)
        content.skip()
        self._members.append(member)

    def _end_clip(self) -> None:
        """Close the clip in hand: the next member is another's."""
        if not self._members:
            return
        key, members, self._members = self._key, self._members, []
        suffixes = tuple(map(_suffix, members))
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
        self._end_clip()
        self.problems += self._partial.values()
        for key in sorted(self._apart):
            self.note("not_adjacent", "its members lie apart; loaders make two samples of them", key)

    def _take(self, key: str, members: list[Member]) -> None:
        metadata, faults = self._checked
        for code, message in faults:
            self.note(code, message, key)
        self.keys.append(key)
        self._whole.add(key)
        if metadata is not None:
            try:
                self.table.add(metadata, members)
            except ShardFormatError as error:
                self.note("members", error, key)


def _suffix(member: Member) -> str:
    return member.name.partition(".")[2]
