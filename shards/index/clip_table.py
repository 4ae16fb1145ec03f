"""The table of a shard: one Parquet file, a row a clip, in the order of the tar.

It holds every field of the clips' JSON under its name, their flags, and where each member lies in the shard. From row
and frame to the bytes of a JPEG, or to a second of sound, is arithmetic: no tar is read and no JSON parsed. DuckDB,
polars, pandas and pyarrow read it as it is.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..errors import ShardFormatError
from ..format.clip import MEMBERS, ClipMetadata
from ..format.tar import BLOCK, Member
from .record import ShardEntry, ShardRecord

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**32 - 1
_KINDS: dict[str, Any] = get_type_hints(ClipMetadata) | {
    "flags": list[str], **{f"{suffix}_{what}": int for suffix in MEMBERS for what in ("offset", "size")}
}  # fmt: skip
COLUMNS: tuple[str, ...] = tuple(_KINDS)
"""Every column of a table, in its order."""
_BINARY = {int: "<i8", float: "<f8", bool: "u1"}
"""How values enter the digest of a table's content."""


class TableWriter:
    """Collect the rows of one shard; equal rows give equal content, and with one pyarrow equal bytes."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def add(self, metadata: ClipMetadata, members: Sequence[Member]) -> None:
        """Append a clip, whose `members` lie where they say, in the order of the format.

        Raises:
            ShardFormatError: when a member is larger than 4 GiB - 1.
        """
        largest = max(member.size for member in members)
        if largest > _LARGEST:
            raise ShardFormatError(f"clip {metadata.key} has a member of {largest} bytes, above 4 GiB: cut it shorter")
        row = asdict(metadata) | {"flags": list(metadata.flags)}
        for suffix, member in zip(MEMBERS, members, strict=True):
            row |= {f"{suffix}_offset": member.offset, f"{suffix}_size": member.size}
        self._rows.append(row)

    def arrow(self) -> "pa.Table":
        """Return the rows. Raises ValueError or OverflowError where a value is outside its column's range."""
        import pyarrow as pa

        return pa.Table.from_pylist(self._rows, schema=_schema())

    def counts(self) -> tuple[int, int, float]:
        """Return the number of clips, that of their frames, and the seconds of their sounds."""
        frames = sum(len(row["frame_times"]) for row in self._rows)
        return len(self._rows), frames, round(sum(row["duration"] for row in self._rows), 3)

    def encode(self) -> tuple[bytes, str]:
        """Return the Parquet file and the digest of its content."""
        import pyarrow.parquet as pq

        table = self.arrow()
        texts = [name for name, kind in _KINDS.items() if kind in (str, list[str])]
        file = io.BytesIO()
        pq.write_table(
            table, file, compression="zstd", version="2.6", write_page_checksum=True, store_schema=False,
            use_dictionary=[_leaf(name) for name in texts],
            column_encoding={_leaf(name): _encoding(_KINDS[name]) for name in COLUMNS
                             if name not in texts and _KINDS[name] is not bool},
        )  # fmt: skip
        return file.getvalue(), digest_of(table)


def _leaf(name: str) -> str:
    """Return the name that Parquet gives to a column's values."""
    return f"{name}.list.element" if str(_KINDS[name]).startswith("list") else name


def _encoding(kind: Any) -> str:
    return "DELTA_BINARY_PACKED" if kind in (int, list[int]) else "BYTE_STREAM_SPLIT"


@cache
def _schema() -> "pa.Schema":
    import pyarrow as pa

    kinds: dict[Any, Any] = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    lists = {list[kind]: pa.list_(pa.field("element", there, nullable=False)) for kind, there in kinds.items()}  # type: ignore[valid-type]
    return pa.schema([pa.field(name, (kinds | lists)[kind], nullable=False) for name, kind in _KINDS.items()])


def digest_of(table: "pa.Table") -> str:
    """Return the sha256 that stands for a table's content, whoever wrote the file and however (shards/FORMAT.md)."""
    total = hashlib.sha256()
    for name in COLUMNS:
        total.update(f"{name}\n".encode() + _bytes_of(table[name].combine_chunks(), _KINDS[name]))
    return total.hexdigest()


def _bytes_of(column: Any, kind: Any) -> bytes:
    """Return values as bytes: numbers little-endian; texts and lists as their lengths (u32), then what is in them."""
    if kind in _BINARY:
        return _numbers(column).astype(_BINARY[kind]).tobytes()
    if kind is str:
        encoded = [text.encode() for text in column.to_pylist()]
        return np.array([len(text) for text in encoded], "<u4").tobytes() + b"".join(encoded)
    lengths: bytes = np.diff(_numbers(column.offsets)).astype("<u4").tobytes()
    return lengths + _bytes_of(column.flatten(), kind.__args__[0])


def _numbers(column: Any) -> NDArray[Any]:
    """Return an array of numbers or flags without nulls as numpy; `to_numpy` would import pandas, 45 MB of it."""
    if str(column.type) == "bool":
        return np.from_dlpack(column.cast("uint8")).view(np.bool_)
    return np.from_dlpack(column)


def most_bytes(*shards: ShardEntry) -> int:
    """Return how large the tables of shards may be at most, bytes."""
    return max((min(2**30, 2**20 + 2**16 * shard.clips + 32 * shard.frames) for shard in shards), default=0)


class Table:
    """The table of one shard.

    Args:
        path: the Parquet file; only its name where `data` is given.
        sha256: its checksum as record and manifest have it.
        data: the bytes of the file, where they are read already.
        columns: the names of those that are needed; None for all.

    Raises:
        ShardFormatError: when the file is missing, damaged, or of another shard.
    """

    def __init__(
        self, path: Path | str, sha256: str, data: bytes | None = None, columns: Sequence[str] | None = None
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            data = Path(path).read_bytes() if data is None else data
            digest = hashlib.sha256(data).hexdigest()
            if digest != sha256:
                raise ShardFormatError(_damaged(path, f"sha256 {digest[:12]}..., its record says {sha256[:12]}..."))
            names = list(COLUMNS if columns is None else columns)
            found = pq.ParquetFile(pa.BufferReader(data)).read(names, use_threads=False)
            self.arrow = found.select(names).cast(pa.schema([_schema().field(name) for name in names]))
        except (OSError, ValueError, KeyError, NotImplementedError) as error:  # those of pyarrow are of these
            raise ShardFormatError(_damaged(path, str(error))) from error
        self.clips: int = self.arrow.num_rows
        """Number of rows."""
        self._values: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column (n,), or the values of all rows of a column of lists one after another."""
        if name not in self._values:
            column = self.arrow[name].combine_chunks()
            column = column.flatten() if hasattr(column, "flatten") and hasattr(column, "offsets") else column
            self._values[name] = _numbers(column)
        return self._values[name]

    def texts(self, name: str) -> list[str]:
        """Return a column of texts."""
        values: list[str] = self.arrow[name].to_pylist()
        return values

    def text(self, name: str, row: int) -> str:
        """Return one text, such as the `key` of a clip."""
        return str(self.arrow[name][row].as_py())

    @cached_property
    def frame_rows(self) -> NDArray[np.int64]:
        """Where the frames of each clip begin among those of all clips, and the end: (n + 1,)."""
        offsets = _numbers(self.arrow["frame_times"].combine_chunks().offsets).astype(np.int64)
        return np.asarray(offsets - offsets[0])

    @cached_property
    def frame_time(self) -> NDArray[np.int64]:
        """Presentation times of all frames, microseconds from their clip's time 0."""
        return np.rint(1e6 * self["frame_times"]).astype(np.int64)

    @cached_property
    def frame_edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each frame begins and ends in its clip's `.mjpg`, bytes."""
        offsets, last = self["frame_offsets"], self.frame_rows[1:] + np.arange(self.clips)
        first = self.frame_rows[:-1] + np.arange(self.clips)
        return np.delete(offsets, last), np.delete(offsets, first)

    def member(self, row: int, suffix: str) -> tuple[int, int]:
        """Return the bytes [start, stop) of a member's content in the shard."""
        start = int(self[f"{suffix}_offset"][row])
        return start, start + int(self[f"{suffix}_size"][row])


def find_table_problems(table: Table, record: ShardRecord, expected: "pa.Table | None" = None) -> Iterator[str]:
    """Yield what is wrong with a shard's table, by its record and, where they are known, by the rows of the shard."""
    try:
        packed = [row["key"] for row in record.ledger if row["status"] == "packed"]
        if table.texts("key") != packed or table.clips != record.clips:
            yield _damaged(table.path, "its clips are not those of the record")
            return
        starts = [*table["json_offset"].tolist(), record.size]
        if starts[0] != BLOCK or any(later <= earlier or earlier % BLOCK for earlier, later in pairwise(starts)):
            text = "its offsets do not rise from the first block to the shard's size in blocks of 512"
            yield _damaged(table.path, text)
            return
        digest = digest_of(table.arrow)
        if digest != record.clips_digest:
            text = f"its content has the digest {digest[:12]}..., the record {record.clips_digest[:12]}"
            yield _damaged(table.path, text)
        if expected is not None and digest != digest_of(expected):
            different = [name for name in COLUMNS if table.arrow[name].to_pylist() != expected[name].to_pylist()]
            yield _damaged(table.path, f"it does not say what the shard holds: {', '.join(different[:5]) or 'types'}")
    except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:  # a checksum may vouch for nonsense
        yield _damaged(table.path, str(error))


def _damaged(path: Path | str, what: str) -> str:
    return f"the table {path} is missing or damaged ({what}); make it again from its shard with: avcorr repair"
