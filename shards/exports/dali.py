"""The index files of NVIDIA DALI's `fn.readers.webdataset`, as its tool wds2idx writes them.

DALI is given their paths, so they lie in `__index__/dali/`, where no other loader takes them for shards.
"""

from pathlib import Path, PurePosixPath

from avcorr.files import write_atomically

from ..format.clip import MEMBERS
from ..index.clip_table import Table, read_tables
from ..index.layout import INDEX
from ..index.shard_list import read_manifest
from ..stores.local import LocalStore

VERSION = "v1.2"
FOLDER = "dali"


def write_dali(root: Path) -> None:
    """Write an index for every shard.

    Raises:
        DatasetMismatchError: when the sharding of `root` is not finished.
        ShardFormatError: when the index is damaged.
    """
    entries = read_manifest(root).shards
    for entry, table in zip(entries, read_tables(LocalStore(root), entries), strict=True):
        write_atomically(root / dali_path(entry.path), encode_dali(table))


def dali_path(shard: str) -> str:
    """Return the path of a shard's index; `shard` is that of the shard, both under the root."""
    path = PurePosixPath(shard)
    return f"{INDEX}/{FOLDER}/{path.parent}/{path.stem}.idx"


def encode_dali(table: Table) -> bytes:
    """Return the index of one shard."""
    lines = [f"{VERSION} {table.clips}"]
    for row in range(table.clips):
        key = table.text("key", row)
        ranges = ((suffix, *table.member(row, suffix)) for suffix in MEMBERS)
        lines.append(" ".join(f"{suffix} {start} {stop - start} {key}.{suffix}" for suffix, start, stop in ranges))
    return "".join(f"{line}\n" for line in lines).encode()
