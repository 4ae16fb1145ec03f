"""What tests ask the tables of a dataset."""

from pathlib import Path

from avcorr.shards.errors import ShardFormatError
from avcorr.shards.format.tar import BLOCK
from avcorr.shards.index.clip_table import Table, find_table_problems, read_tables
from avcorr.shards.index.record import ShardEntry, ShardRecord
from avcorr.shards.stores.local import LocalStore


def table_of(root: Path, record: ShardEntry) -> Table:
    """Return the table of a shard."""
    return next(read_tables(LocalStore(root), [record]))


def table_problems(root: Path, record: ShardRecord) -> list[str]:
    """Return what is wrong with a shard's table, compared with its record."""
    try:
        return list(find_table_problems(table_of(root, record), record))
    except ShardFormatError as error:
        return [str(error)]


def keys_of(root: Path, record: ShardEntry) -> list[str]:
    """Return the keys of a shard's clips."""
    return table_of(root, record).texts("key")


def offsets_of(root: Path, record: ShardEntry) -> list[int]:
    """Return where in the shard each clip's first header begins, bytes."""
    return [start - BLOCK for start in table_of(root, record)["json_offset"].tolist()]
