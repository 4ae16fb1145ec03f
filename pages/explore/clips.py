"""Clips of embeddings, read from their shards: only the bytes that are asked for."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avcorr.pipeline.moments.reading import check_shard
from avcorr.retrieval.embeddings import EmbeddingFolder, read_manifest
from avcorr.shards.index.clip_table import Table
from avcorr.shards.index.manifest import ShardEntry
from avcorr.shards.index.manifest import read_manifest as read_shards
from avcorr.shards.store import ByteRange, Store

from .errors import ExploreError, UnknownError

OPEN_SHARDS = 64
"""Shards whose tables are kept in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Times of a clip's frames, and the length of its sound."""

    times: NDArray[np.float64]
    """(F,), seconds from the start of the clip."""
    rate: int
    """Sample rate of the sound, Hz."""
    samples: int

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples / self.rate

    def frame_at(self, time: float) -> int:
        """Return the number of the frame nearest to a time."""
        return int(np.abs(self.times - time).argmin())


class _Shard(NamedTuple):
    entry: ShardEntry
    table: Table
    rows: dict[str, int]


class Clips:
    """The clips of embeddings, by their keys; threads may share it.

    Args:
        store: the dataset.
        embeddings: of its clips.

    Raises:
        ExploreError: when the embeddings are of other shards.
        ShardError: when the dataset cannot be read.
    """

    def __init__(self, store: Store, embeddings: EmbeddingFolder) -> None:
        self._store, self._embeddings = store, embeddings
        self._numbers = {key: number for number, key in enumerate(embeddings.keys)}
        self._entries = {PurePath(entry.table).stem: entry for entry in read_shards(store)}
        for name, part in read_manifest(embeddings.folder)["parts"].items():
            entry = self._entries.get(name)
            if entry is None or entry.sha256 != part["shard_sha256"]:
                what = "is not there" if entry is None else "is another than was embedded"
                raise ExploreError(
                    f"the shard {name} of {store.url} {what}: the embeddings in {embeddings.folder} are of other "
                    "shards; give their place with --shards, or embed these into another folder with --index"
                )
        self._shard = lru_cache(OPEN_SHARDS)(self._open)

    def number(self, key: str) -> int:
        """Return the number of a clip. Raises UnknownError where there is none."""
        try:
            return self._numbers[key]
        except KeyError:
            raise UnknownError(f"there is no clip with the key {key!r}") from None

    def timeline(self, key: str) -> Timeline:
        """Return the times of a clip's frames. Raises UnknownError, and ShardError where its index is damaged."""
        _, table, row = self._find(key)
        times = table.frame_times(row) / 1e6
        return Timeline(times, int(table["sample_rate"][row]), int(table["sample_count"][row]))

    def frame(self, key: str, number: int) -> bytes:
        """Return a frame as JPEG. Raises UnknownError, and ShardError where the shard is damaged."""
        entry, table, row = self._find(key)
        try:
            place = table.frame(row, number)
        except IndexError as error:
            raise UnknownError(f"{key} has no frame {number}") from error
        return self._store.read_ranges([ByteRange(entry.path, *place)])[0]

    def sound(self, key: str, start: int, stop: int) -> NDArray[np.int16]:
        """Return the samples [start, stop) of a clip. Raises UnknownError, ShardError."""
        entry, table, row = self._find(key)
        try:
            place = table.samples(row, start, stop)
        except IndexError as error:
            raise UnknownError(f"{key} has no samples {start} to {stop}") from error
        data = self._store.read_ranges([ByteRange(entry.path, *place)])[0]
        return np.frombuffer(data, "<i2").astype(np.int16)

    def _find(self, key: str) -> tuple[ShardEntry, Table, int]:
        shard = self._shard(self._embeddings.part_of(self.number(key)))
        if key not in shard.rows:
            raise ExploreError(f"{shard.entry.path} does not hold {key}; avcorr verify says what is wrong with it")
        return shard.entry, shard.table, shard.rows[key]

    def _open(self, name: str) -> _Shard:
        entry = self._entries[name]
        check_shard(self._store, entry)
        table = Table(f"{self._store.url}/{entry.table}", entry.table_sha256, self._store.read(entry.table))
        return _Shard(entry, table, {table.text("key", row): row for row in range(table.clips)})
