"""Clips of embeddings, read from their shards: only the bytes that are asked for."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avcorr.retrieval.embeddings import EmbeddingFolder, read_manifest
from avcorr.shards.dataset import ClipEntry, Dataset
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.format.jpeg import find_fault
from avcorr.shards.format.sound_codec import decode
from avcorr.shards.index.layout import ShardName
from avcorr.shards.reader import check_shard
from avcorr.shards.store import Store

from .errors import ExploreError, UnknownError

OPEN_SHARDS = 64
"""Shards whose tables are kept in memory."""


class Timeline(NamedTuple):
    """Times of a clip's frames (F,), seconds from its start; the sample rate of its sound, Hz, and its length."""

    times: NDArray[np.float64]
    rate: int
    samples: int

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples / self.rate

    def frame_at(self, time: float) -> int:
        """Return the number of the frame nearest to a time."""
        return int(np.abs(self.times - time).argmin())


class Clips:
    """The clips of embeddings, by their keys; threads may share it.

    Raises ExploreError when the embeddings are of other shards than the store's, ShardError when it cannot be read.
    """

    def __init__(self, store: Store, embeddings: EmbeddingFolder) -> None:
        self._store, self._embeddings = store, embeddings
        self._numbers = {key: number for number, key in enumerate(embeddings.keys)}
        self._dataset = Dataset(store)
        self._entries = {ShardName.parse(entry.path).stem: entry for entry in self._dataset.shards}
        for name, part in read_manifest(embeddings.folder)["parts"].items():
            entry = self._entries.get(name)
            if entry is None or entry.sha256 != part["shard_sha256"]:
                what = "is not there" if entry is None else "is another than was embedded"
                raise ExploreError(
                    f"the shard {name} of {store.url} {what}: the embeddings in {embeddings.folder} are of other "
                    "shards; give their address with --shards, or embed these into another folder with --index"
                )
        self._rows = lru_cache(OPEN_SHARDS)(self._open)

    def number(self, key: str) -> int:
        """Return the number of a clip. Raises UnknownError where there is none."""
        try:
            return self._numbers[key]
        except KeyError:
            raise UnknownError(f"there is no clip with the key {key!r}") from None

    def timeline(self, key: str) -> Timeline:
        """Return the times of a clip's frames. Raises UnknownError, and ShardError where its index is damaged."""
        clip = self._find(key)
        rate, samples = (int(clip.table[name][clip.row]) for name in ("sample_rate", "sample_count"))
        return Timeline(clip.frame_times / 1e6, rate, samples)

    def frame(self, key: str, number: int) -> bytes:
        """Return a frame as JPEG. Raises UnknownError, and ShardError where the shard is damaged."""
        clip = self._find(key)
        try:
            where = clip.frame(number)
        except IndexError as error:
            raise UnknownError(f"{key} has no frame {number}") from error
        (data,) = self._store.read_ranges([where])
        if fault := find_fault(data, *(int(clip.table[name][clip.row]) for name in ("width", "height"))):
            what = f"frame {number} of {key} {fault[1]}; avcorr verify --full says what else is wrong"
            raise ShardFormatError(f"{self._store.url}/{where.path}: {what}")
        return data

    def sound(self, key: str, start: int, stop: int) -> NDArray[np.int16]:
        """Return the samples [start, stop) of a clip. Raises UnknownError, ShardError."""
        try:
            where = self._find(key).samples(start, stop)
        except IndexError as error:
            raise UnknownError(f"{key} has no samples {start} to {stop}") from error
        return decode(self._store.read_ranges([where])[0], start, stop).astype(np.int16)

    def _find(self, key: str) -> ClipEntry:
        name = self._embeddings.part_of(self.number(key))
        rows = self._rows(name)
        if key not in rows:
            path = self._entries[name].path
            raise ExploreError(f"{path} does not hold {key}; avcorr verify says what is wrong with it")
        return rows[key]

    def _open(self, name: str) -> dict[str, ClipEntry]:
        check_shard(self._store, self._entries[name])
        return {clip.key: clip for clip in self._dataset.clips(shards=[name])}
