"""What Megatron Energon reads instead of running `energon prepare` over all shards: `.nv-meta/` and `*.tar.idx`.

The offsets are those that the packer noted, so no shard is read. `<shard>.tar.idx` has to lie beside its shard; it is
no tar, so loaders that open every file of a folder need the `configs` of the card.
"""

import sqlite3
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from avcorr.files import write_atomically

from ..format.clip import MEMBERS
from ..format.tar import BLOCK, Member
from ..index.clip_table import Table, read_tables
from ..index.layout import is_json_of, write_json
from ..index.record import ShardEntry
from ..index.shard_list import read_manifest
from ..store import Store
from ..stores.local import LocalStore

FOLDER = ".nv-meta"
LAYOUT_VERSION = "7.4.1"
"""The release of energon whose files these are."""

_TABLES = """
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,
    byte_offset INTEGER, byte_size INTEGER
);
CREATE TABLE sample_parts (
    tar_file_id INTEGER, sample_index INTEGER, part_name TEXT,
    content_byte_offset INTEGER, content_byte_size INTEGER
);
"""
_INDEXES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
    ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""


def write_energon(root: Path) -> None:
    """Write what energon needs; a `dataset.yaml` that is there stays, because users put their sample loader into it.

    Raises:
        DatasetMismatchError: when the sharding of `root` is not finished.
        ShardFormatError: when the index is damaged.
    """
    entries = read_manifest(root).shards
    folder = root / FOLDER
    _write_samples(root, entries)
    write_atomically(folder / "index.uuid", _identity(entries))
    write_json(folder / ".info.json", _info(entries))
    parts: dict[str, list[str]] = {}
    for entry in entries:
        parts.setdefault(entry.split, []).append(entry.path)
    _write_yaml(folder / "split.yaml", {"split_parts": parts, "exclude": []})
    if not (folder / "dataset.yaml").exists():
        _write_yaml(folder / "dataset.yaml", {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"})


def energon_checks(store: Store, entries: Sequence[ShardEntry], *, full: bool) -> dict[str, Callable[[bytes], str]]:
    """Return how to check each file in `.nv-meta/`: a function of its bytes that says what is wrong, "" for nothing.

    Users may change `dataset.yaml` and `split.yaml`, so they only have to be there. With `full` every row of the
    database is compared with the tables, which have to be sound.
    """
    wrong = f"is not what the shards' records say, for energon {LAYOUT_VERSION}"
    rows = "is damaged, or its rows are not those of the shards"
    checks: dict[str, Callable[[bytes], str]] = {
        "index.uuid": lambda data: "" if data == _identity(entries) else wrong,
        ".info.json": lambda data: "" if is_json_of(data, _info(entries)) else wrong,
        "index.sqlite": lambda data: "" if not full or _database_is_right(data, store, entries) else rows,
        "split.yaml": lambda _: "",
        "dataset.yaml": lambda _: "",
    }
    return {f"{FOLDER}/{name}": check for name, check in checks.items()}


def _database_is_right(data: bytes, store: Store, entries: Sequence[ShardEntry]) -> bool:
    """Compare every row of the database with the table."""
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.deserialize(data)
            if list(database.execute("PRAGMA integrity_check")) != [("ok",)]:
                return False
            samples = database.execute("SELECT * FROM samples ORDER BY tar_file_id, sample_index")
            parts = database.execute(
                "SELECT * FROM sample_parts ORDER BY tar_file_id, sample_index, content_byte_offset"
            )
            for number, table in enumerate(read_tables(store, entries)):
                for rows, found in ((_sample_rows(number, table), samples), (_part_rows(number, table), parts)):
                    if any(row != next(found, None) for row in rows):
                        return False
            return next(samples, None) is None and next(parts, None) is None
        except sqlite3.Error:
            return False


def _write_yaml(path: Path, value: object) -> None:
    write_atomically(path, yaml.safe_dump(value, sort_keys=False).encode())


def _write_samples(root: Path, entries: Sequence[ShardEntry]) -> None:
    """Write `<shard>.tar.idx` for each shard, and the database of all samples."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        for number, (entry, table) in enumerate(zip(entries, read_tables(LocalStore(root), entries), strict=True)):
            write_atomically(root / f"{entry.path}.idx", encode_edges(table))
            database.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", _sample_rows(number, table))
            database.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", _part_rows(number, table))
        database.executescript(_INDEXES)
        database.commit()
        write_atomically(root / FOLDER / "index.sqlite", database.serialize())


def _sample_rows(number: int, table: Table) -> Iterator[tuple[int, str, int, int, int]]:
    edges = _edges(table)
    for row in range(table.clips):
        yield number, table.text("key", row), row, edges[row], edges[row + 1] - edges[row]


def _part_rows(number: int, table: Table) -> Iterator[tuple[int, int, str, int, int]]:
    for row in range(table.clips):
        for suffix in MEMBERS:
            start, stop = table.member(row, suffix)
            yield number, row, suffix, start, stop - start


def _identity(entries: Sequence[ShardEntry]) -> bytes:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "".join(entry.sha256 for entry in entries))).encode()


def _info(entries: Sequence[ShardEntry]) -> dict[str, Any]:
    return {"energon_version": LAYOUT_VERSION, "shard_counts": {entry.path: entry.clips for entry in entries}}


def encode_edges(table: Table) -> bytes:
    """Return the content of `<shard>.tar.idx`."""
    edges = _edges(table)
    return struct.pack(f"<{len(edges)}Q", *edges)


def _edges(table: Table) -> list[int]:
    """Return where each sample's first header begins, and where the last member ends."""
    first = [table.member(row, MEMBERS[0])[0] - BLOCK for row in range(table.clips)]
    start, stop = table.member(table.clips - 1, MEMBERS[-1])
    return [*first, Member("", start, stop - start).end]
