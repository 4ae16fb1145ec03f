"""Where everything lies inside a shard: one `.npz` of plain columns beside its record.

A row is a clip, in the order of the tar; frames of all clips lie one after another. From row and frame to the bytes of
a JPEG, or to a second of sound, is arithmetic: no tar is read and no JSON parsed. An .npz is an uncompressed zip of
.npy files, so other languages read it and its checksums show damage.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ShardFormatError
from ..format.clip import FLAGS, MEMBERS, WAV_HEADER_BYTES, ClipMetadata
from ..format.tar import BLOCK, Member, iter_members
from .layout import write_atomically, write_json
from .record import ShardRecord, read_record

TEXTS = ("key", "video", "label")
"""Metadata that are kept as UTF-8 bytes back to back, with the rows' borders."""
_LARGEST = 2**32 - 1
_WAV, _MJPG = MEMBERS.index("wav"), MEMBERS.index("mjpg")


class ColumnsWriter:
    """Collect the rows of one shard, then encode them; equal rows give equal bytes."""

    def __init__(self) -> None:
        self._metadata: list[ClipMetadata] = []
        self._members: list[Sequence[Member]] = []

    def add(self, metadata: ClipMetadata, members: Sequence[Member]) -> None:
        """Append a clip.

        Args:
            metadata: the clip's.
            members: where its three members lie in the shard, in the order of the format.

        Raises:
            ShardFormatError: when a member is larger than 4 GiB - 1.
        """
        largest = max(member.size for member in members)
        if largest > _LARGEST:
            raise ShardFormatError(f"clip {metadata.key} has a member of {largest} bytes, above 4 GiB: cut it shorter")
        self._metadata.append(metadata)
        self._members.append(members)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by their names in the format."""
        clips = self._metadata
        columns: dict[str, NDArray[Any]] = {
            "member_offset": np.array([[member.offset for member in row] for row in self._members], "<u8"),
            "member_size": np.array([[member.size for member in row] for row in self._members], "<u4"),
            "sample_rate": np.array([clip.sample_rate for clip in clips], "<u4"),
            "sample_count": np.array([clip.sample_count for clip in clips], "<u4"),
            "frame_rows": _borders([clip.frame_count for clip in clips]),
            "frame_offset": np.array([offset for clip in clips for offset in clip.frame_offsets[:-1]], "<u4"),
            "frame_time": np.array([round(1e6 * time) for clip in clips for time in clip.frame_times], "<i8"),
        }
        for name in FLAGS:
            columns[f"flag_{name}"] = np.array([name in clip.flags for clip in clips], "?")
        for name in TEXTS:
            encoded = [getattr(clip, name).encode() for clip in clips]
            columns[f"{name}_utf8"] = np.frombuffer(b"".join(encoded), "u1")
            columns[f"{name}_rows"] = _borders([len(text) for text in encoded])
        return columns

    def encode(self) -> bytes:
        """Return the `.npz`."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **self.columns())
        return file.getvalue()


def _borders(lengths: Sequence[int]) -> NDArray[np.uint32]:
    """Return where each row begins, and behind them where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype("<u4")


class Columns:
    """The columns of one shard, each decoded when it is first used.

    Args:
        path: the `.npz`; only its name where `data` is given.
        sha256: its checksum as the record has it.
        data: the bytes of the file, where they are read already.

    Raises:
        ShardFormatError: when the file is missing, damaged, or of another shard.
    """

    def __init__(self, path: Path | str, sha256: str, data: bytes | None = None) -> None:
        self._path = path
        self._cache: dict[str, NDArray[Any]] = {}
        try:
            data = Path(path).read_bytes() if data is None else data
            digest = hashlib.sha256(data).hexdigest()
            if digest != sha256:
                raise ShardFormatError(_damaged(path, f"sha256 {digest[:12]}..., its record says {sha256[:12]}..."))
            self._file = np.load(io.BytesIO(data), allow_pickle=False)
            self.clips = len(self["sample_count"])
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise ShardFormatError(_damaged(path, str(error))) from error

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column by its name in the format. Raises KeyError where there is none."""
        if name not in self._cache:
            self._cache[name] = self._file[name]
        return self._cache[name]

    def names(self) -> tuple[str, ...]:
        """Return the names of all columns."""
        return tuple(self._file.files)

    def text(self, name: str, row: int) -> str:
        """Return `key`, `video` or `label` of a clip."""
        start, stop = self[f"{name}_rows"][row : row + 2]
        return bytes(self[f"{name}_utf8"][start:stop]).decode()

    def frame_times(self, row: int) -> NDArray[np.int64]:
        """Return the presentation times of a clip's frames, microseconds from its time 0."""
        start, stop = self["frame_rows"][row : row + 2]
        return self["frame_time"][start:stop]

    def member(self, row: int, suffix: str) -> tuple[int, int]:
        """Return the bytes [start, stop) of a member's content in the shard."""
        column = MEMBERS.index(suffix)
        start = int(self["member_offset"][row, column])
        return start, start + int(self["member_size"][row, column])

    def starts(self, suffix: str) -> NDArray[np.int64]:
        """Return for each clip the byte of the shard at which a member's content begins."""
        return self["member_offset"][:, MEMBERS.index(suffix)].astype(np.int64)

    def sizes(self, suffix: str) -> NDArray[np.int64]:
        """Return for each clip the bytes of a member's content."""
        return self["member_size"][:, MEMBERS.index(suffix)].astype(np.int64)

    def first_samples(self) -> NDArray[np.int64]:
        """Return for each clip the byte of the shard at which its sample 0 lies."""
        return self.starts("wav") + WAV_HEADER_BYTES

    def frame(self, row: int, frame: int) -> tuple[int, int]:
        """Return the bytes [start, stop) of a frame's JPEG in the shard. Raises IndexError where there is none."""
        first, end = (int(border) for border in self["frame_rows"][row : row + 2])
        if not 0 <= frame < end - first:
            raise IndexError(f"clip {row} of {self._path} has {end - first} frames; there is no frame {frame}")
        base, size = int(self["member_offset"][row, _MJPG]), int(self["member_size"][row, _MJPG])
        number = first + frame
        stop = int(self["frame_offset"][number + 1]) if number + 1 < end else size
        return base + int(self["frame_offset"][number]), base + stop

    def samples(self, row: int, start: int, stop: int) -> tuple[int, int]:
        """Return the bytes of the samples [start, stop) in the shard. Raises IndexError where not all are there."""
        count = int(self["sample_count"][row])
        if not 0 <= start <= stop <= count:
            raise IndexError(f"clip {row} of {self._path} has {count} samples; there are no [{start}, {stop})")
        base = int(self["member_offset"][row, _WAV]) + WAV_HEADER_BYTES
        return base + 2 * start, base + 2 * stop


def encode_columns(shard: Path) -> bytes:
    """Make a shard's columns again by reading it. Raises ShardError where the shard is damaged."""
    columns = ColumnsWriter()
    with shard.open("rb") as file:
        members: list[Member] = []
        for member, data in iter_members(file):
            if not members:
                metadata = ClipMetadata.from_json(data)
            members.append(member)
            if len(members) == len(MEMBERS):
                columns.add(metadata, members)
                members = []
    return columns.encode()


def find_column_problems(
    path: Path | str,
    record: ShardRecord,
    data: bytes | None = None,
    expected: Mapping[str, NDArray[Any]] | None = None,
) -> Iterator[str]:
    """Yield what is wrong with a shard's columns; nothing when all is well.

    Args:
        path: the `.npz`; only its name where `data` is given.
        record: the shard's.
        data: the bytes of the file, where they are read already.
        expected: the columns as the shard itself gives them; None to compare with the record alone.
    """
    try:
        columns = Columns(path, record.columns_sha256, data)
        keys = [columns.text("key", row) for row in range(columns.clips)]
        frames = np.diff(columns["frame_rows"]).tolist()
        starts = (columns["member_offset"][:, 0] - BLOCK).tolist()
        known = [(clip.key, clip.frame_count, clip.offset) for clip in record.clips]
        if known != list(zip(keys, frames, starts, strict=True)):
            yield _damaged(path, "its clips are not those of the record")
            return
        for name, values in (expected or {}).items():
            found = columns[name]
            if found.dtype != values.dtype or not np.array_equal(found, values):
                yield _damaged(path, f"its column {name} is not what the shard holds")
    except ShardFormatError as error:
        yield str(error)
    except (ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:  # a checksum may vouch for nonsense
        yield _damaged(path, str(error))


def repair_columns(root: Path, record_file: Path) -> None:
    """Make a shard's columns again from the shard, and let its record vouch for them; then call `finish_dataset`.

    Raises:
        ShardError: when the record or the shard is damaged.
    """
    record = read_record(record_file)
    data = encode_columns(root / record.path)
    write_atomically(record_file.with_suffix(".npz"), data)
    digest = hashlib.sha256(data).hexdigest()
    if digest != record.columns_sha256:
        write_json(record_file, replace(record, columns_sha256=digest).to_json())


def _damaged(path: Path | str, what: str) -> str:
    return f"the columns {path} are missing or damaged ({what}); make them again from their shard with: avcorr repair"
