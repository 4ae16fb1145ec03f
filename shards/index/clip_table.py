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
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from avcorr.printable import printable

from ..errors import MissingObjectError, ShardFormatError
from ..format.clip import FLAGS, MEMBERS, MOST_LABELS, ClipMetadata
from ..format.tar import Member
from ..store import Store
from .record import ShardEntry, ShardRecord
from .table_check import check_table, with_companions

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**32 - 1
_KINDS: dict[str, Any] = get_type_hints(ClipMetadata) | {
    "flags": list[str], **{f"{suffix}_{what}": int for suffix in MEMBERS for what in ("offset", "size")}
}  # fmt: skip
COLUMNS: tuple[str, ...] = tuple(_KINDS)
"""Every column of a table, in its order."""
LISTS = {name for name, kind in _KINDS.items() if get_origin(kind) is list}
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
def _schema(*names: str) -> "pa.Schema":
    """Return the types of some columns, of all by default."""
    import pyarrow as pa

    kinds: dict[Any, Any] = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    lists = {list[kind]: pa.list_(pa.field("element", there, nullable=False)) for kind, there in kinds.items()}  # type: ignore[valid-type]
    return pa.schema([pa.field(name, (kinds | lists)[_KINDS[name]], nullable=False) for name in names or COLUMNS])


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
    """Return an array of numbers or flags without nulls as numpy.

    `to_numpy` would import pandas, 45 MB of it, and `cast` pyarrow.compute, a fifth of the start of `info`.
    """
    if str(column.type) == "bool":
        bits = np.frombuffer(column.buffers()[1] or b"", np.uint8)
        flags = np.unpackbits(bits, count=column.offset + len(column), bitorder="little")
        return flags[column.offset :].view(np.bool_)
    return np.from_dlpack(column)


def most_bytes(*shards: ShardEntry) -> int:
    """Return how large the tables of shards may be at most, bytes."""
    return max((min(2**30, 2**20 + 4 * shard.size) for shard in shards), default=0)  # the shard has it all in JSON


class Table:
    """The table of one shard.

    Args:
        path: the file's name, for messages.
        shard: what the index says of the shard, against which the table is held.
        data: the bytes of the file.
        columns: the names of those that are needed; None for all. Those that these are checked with are read, too.

    Raises:
        ShardFormatError: naming the column, when the file is damaged, or is not the table of such a shard.
    """

    def __init__(self, path: str, shard: ShardEntry, data: bytes, columns: Sequence[str] | None = None) -> None:
        import pyarrow as pa

        self.path = path
        self._values: dict[str, NDArray[Any]] = {}
        try:
            digest = hashlib.sha256(data).hexdigest()
            if digest != shard.table_sha256:
                raise ValueError(f"sha256 {digest[:12]}..., its record says {shard.table_sha256[:12]}...")
            wanted = COLUMNS if columns is None else with_companions(columns)
            self.arrow = _unpack(data, shard, tuple(name for name in COLUMNS if name in wanted))
            self.clips: int = self.arrow.num_rows
            """Number of rows."""
            check_table(self, shard)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise ShardFormatError(_damaged(path, printable(" ".join(str(error).split()), 300))) from error

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column (n,), or the values of all rows of a column of lists one after another."""
        if name not in self._values:
            column = self._column(name)
            self._values[name] = _numbers(column.flatten() if name in LISTS else column)
        return self._values[name]

    def _column(self, name: str) -> Any:
        column = self.arrow[name]
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Return how many values each row of a column of lists has (n,)."""
        return np.diff(_numbers(self._column(name).offsets)).astype(np.int64)

    def texts(self, name: str) -> list[Any]:
        """Return a column of texts, or of lists of them."""
        values: list[Any] = self.arrow[name].to_pylist()
        return values

    def text(self, name: str, row: int) -> str:
        """Return one text, such as the `key` of a clip."""
        return str(self.arrow[name][row].as_py())

    @cached_property
    def frame_rows(self) -> NDArray[np.int64]:
        """Where the frames of each clip begin among those of all clips, and the end: (n + 1,)."""
        offsets = _numbers(self._column("frame_times").offsets).astype(np.int64)
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


def _unpack(data: bytes, shard: ShardEntry, names: Sequence[str]) -> "pa.Table":
    """Return some columns of a Parquet file, typed as the format has them, after its sizes were added up.

    Raises:
        ValueError, OSError, pa.ArrowException: when it is none, or has other columns, rows or sizes than such a table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    facts, there, wanted = file.metadata, file.schema_arrow, _schema(*names)
    if facts.num_rows != shard.clips:
        raise ValueError(f"{facts.num_rows} rows; the index says {shard.clips} clips")
    groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
    size, most = sum(max(0, group.total_byte_size) for group in groups), most_bytes(shard)
    if size > most:
        raise ValueError(f"{size} bytes when it is unpacked; that of such a shard has at most {most}")
    ours = there.equals(_schema())
    for field in () if ours else wanted:
        if len(there.get_all_field_indices(field.name)) != 1:
            raise ValueError(f"{field.name}: is missing, or there twice")
        if not _fits(there.field(field.name).type, field.type):
            raise ValueError(f"{field.name}: is {there.field(field.name).type}, not {field.type}")
    leaves = COLUMNS if ours else [facts.schema.column(place).path.split(".")[0] for place in range(facts.num_columns)]
    for name, most in _most_values(shard).items():
        if name in names and sum(group.column(leaves.index(name)).num_values for group in groups) > most:
            raise ValueError(f"{name}: has more than {most} values")
    found = file.read(list(names), use_threads=False).select(names)
    for name in names:
        try:
            if _KINDS[name] in (str, list[str]):
                found[name].validate(full=True)  # UTF-8
            if not ours:
                found = found.set_column(
                    names.index(name), wanted.field(name), _as(found[name], wanted.field(name).type)
                )
        except pa.ArrowException as error:
            raise ValueError(f"{name}: {error}") from error
    return found


def _as(column: Any, kind: Any) -> Any:
    """Return a column without nulls in the type of the format. Raises ArrowException."""
    import pyarrow as pa

    found = column.combine_chunks().cast(kind)
    if found.null_count or hasattr(found, "offsets") and found.flatten().null_count:
        raise pa.ArrowInvalid("has nulls")
    return found


def _fits(there: Any, wanted: Any) -> bool:
    """Return whether a column's type holds the values of the format's, integers and texts of any width."""
    import pyarrow as pa

    types = pa.types
    if types.is_list(wanted):
        return bool(types.is_list(there) or types.is_large_list(there)) and _fits(there.value_type, wanted.value_type)
    if types.is_integer(wanted):
        return bool(types.is_integer(there))
    if types.is_string(wanted):
        return bool(types.is_string(there) or types.is_large_string(there) or types.is_string_view(there)) or (
            types.is_dictionary(there) and _fits(there.value_type, wanted)
        )
    return bool(there == wanted)


def _most_values(shard: ShardEntry) -> dict[str, int]:
    """Return how many values the lists of all rows may have: a page of equal ones is small however many they are."""
    return {
        "frame_times": shard.frames, "frame_offsets": shard.frames + shard.clips,
        "labels": MOST_LABELS * shard.clips, "flags": len(FLAGS) * shard.clips,
    }  # fmt: skip


def read_tables(store: Store, shards: Sequence[ShardEntry], *columns: str) -> Iterator[Table]:
    """Yield the tables of shards, many in flight.

    Args:
        columns: the names of those that are needed; none: all.

    Raises:
        ShardFormatError: where one is missing, damaged, or not that of its shard.
        StoreError: when the store cannot be read.
    """
    try:
        files = store.read_all((shard.table for shard in shards), most_bytes(*shards))
        for shard, data in zip(shards, files, strict=True):
            yield Table(f"{store.url}/{shard.table}", shard, data, columns or None)
    except MissingObjectError as error:
        raise ShardFormatError(f"a table is missing ({error}); make it again with: avcorr repair") from error


def find_table_problems(table: Table, record: ShardRecord, expected: "pa.Table | None" = None) -> Iterator[str]:
    """Yield what is wrong with a shard's table, by its record and, where they are known, by the rows of the shard."""
    packed = [row["key"] for row in record.ledger if row["status"] == "packed"]
    if table.texts("key") != packed:
        yield _damaged(table.path, "its clips are not those of the record")
        return
    digest = digest_of(table.arrow)
    if digest != record.clips_digest:
        text = f"its content has the digest {digest[:12]}..., the record {record.clips_digest[:12]}"
        yield _damaged(table.path, text)
    if expected is not None and digest != digest_of(expected):
        different = [name for name in COLUMNS if table.arrow[name].to_pylist() != expected[name].to_pylist()]
        yield _damaged(table.path, f"it does not say what the shard holds: {', '.join(different[:5]) or 'types'}")


def _damaged(path: str, what: str) -> str:
    return f"the table {path} is damaged ({what}); make it again with: avcorr repair"
