"""A dataset, read from its index."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import DatasetMismatchError, MissingObjectError
from .index.clip_table import Table
from .index.facts import require_dataset
from .index.layout import HIDDEN, ShardName
from .index.ledger import iter_ledger
from .index.record import ShardRecord, iter_records
from .store import Root
from .stores.open import open_store


class Index:
    """The index of one dataset root, read once.

    Args:
        root: where the dataset lies.

    Raises:
        DatasetMismatchError: when `root` is no dataset, or one of another format.
        ShardFormatError: when a record cannot be read.
        StoreError: when the store cannot be read.
    """

    def __init__(self, root: Root) -> None:
        self.store = open_store(root)
        self.dataset = require_dataset(self.store)
        self.shards = tuple(iter_records(self.store))

    def of_split(self, split: str) -> tuple[ShardRecord, ...]:
        """Return the shards of one split in the order of their numbers.

        Raises:
            DatasetMismatchError: when there is none, naming the splits that exist.
        """
        shards = tuple(shard for shard in self.shards if shard.split == split and shard.clips)
        if not shards:
            have = ", ".join(self.splits()) or "none at all"
            raise DatasetMismatchError(f"{self.store.url} has no clips in the split {split!r}; it has {have}")
        return shards

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that hold clips, sorted."""
        return tuple(sorted({shard.split for shard in self.shards if shard.clips}))

    def videos(self, split: str) -> set[str]:
        """Return the source videos whose clips lie in a split."""
        return {video for _, table in self.tables(split, columns=("video",)) for video in table.texts("video")}

    def tables(self, split: str = "", *, columns: Sequence[str] | None = None) -> Iterator[tuple[ShardRecord, Table]]:
        """Yield the table of each shard that holds clips.

        Args:
            split: only its shards; "" for all.
            columns: the names of those that are needed; None for all.

        Raises:
            ShardFormatError: when a table is missing or damaged.
        """
        shards = [shard for shard in self.shards if shard.clips and split in ("", shard.split)]
        paths = [f"{HIDDEN}/shards/{ShardName.parse(shard.path).stem}.parquet" for shard in shards]
        for shard, path, data in zip(shards, paths, self.store.read_all(paths), strict=True):
            yield shard, Table(f"{self.store.url}/{path}", shard.table_sha256, data, columns)

    def ledger(self) -> Iterator[Mapping[str, Any]]:
        """Yield the ledger: one row an input."""
        try:
            yield from iter_ledger(self.store)
        except MissingObjectError:
            return
