"""What Megatron Energon reads instead of running `energon prepare` over all shards: `.nv-meta/` and `*.tar.idx`.

The offsets are those that the packer noted, so no shard is read. `<shard>.tar.idx` has to lie beside its shard; it is
no tar, so loaders that open every file of a folder need the `configs` of the card.
"""

import os
import sqlite3
import struct
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import yaml

from ..clip import MEMBERS
from ..columns import Columns
from ..index import sync_folder, write_atomically, write_json
from ..manifest import ShardEntry, read_manifest
from ..tar import BLOCK, Member

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
    entries = read_manifest(root)
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    _write_samples(root, entries)
    identity = uuid.uuid5(uuid.NAMESPACE_OID, "".join(entry.sha256 for entry in entries))
    write_atomically(folder / "index.uuid", str(identity).encode())
    counts = {entry.path: entry.clips for entry in entries}
    write_json(folder / ".info.json", {"energon_version": LAYOUT_VERSION, "shard_counts": counts})
    parts: dict[str, list[str]] = {}
    for entry in entries:
        parts.setdefault(entry.split, []).append(entry.path)
    _write_yaml(folder / "split.yaml", {"split_parts": parts, "exclude": []})
    if not (folder / "dataset.yaml").exists():
        _write_yaml(folder / "dataset.yaml", {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"})


def _write_yaml(path: Path, value: object) -> None:
    write_atomically(path, yaml.safe_dump(value, sort_keys=False).encode())


def _write_samples(root: Path, entries: Sequence[ShardEntry]) -> None:
    """Write `<shard>.tar.idx` for each shard, and the database of all samples."""
    path = root / FOLDER / "index.sqlite"
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary)) as database:
        database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES)
        for number, entry in enumerate(entries):
            columns = Columns(root / entry.columns, entry.columns_sha256)
            edges = _edges(columns)
            write_atomically(root / f"{entry.path}.idx", struct.pack(f"<{len(edges)}Q", *edges))
            database.executemany(
                "INSERT INTO samples VALUES (?, ?, ?, ?, ?)",
                (
                    (number, columns.text("key", row), row, edges[row], edges[row + 1] - edges[row])
                    for row in range(columns.clips)
                ),
            )
            database.executemany(
                "INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)",
                (
                    (number, row, suffix, start, stop - start)
                    for row in range(columns.clips)
                    for suffix in MEMBERS
                    for start, stop in [columns.member(row, suffix)]
                ),
            )
        database.executescript(_INDEXES)
        database.commit()
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def _edges(columns: Columns) -> list[int]:
    """Return where each sample's first header begins, and where the last member ends."""
    first = [columns.member(row, MEMBERS[0])[0] - BLOCK for row in range(columns.clips)]
    start, stop = columns.member(columns.clips - 1, MEMBERS[-1])
    return [*first, Member("", start, stop - start).end]
