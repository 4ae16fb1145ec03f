"""Fetch what a task draws of chunks, and pass over bad shards.

A shard that is short, altered or gone, or that holds a frame which is no JPEG, ends the reading with an error that
names it. Where the settings allow some such shards (`max_bad_shards`), it is passed over instead: in place of its clips
come those of the next sound shard, and it is counted.
"""

import logging
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from .order import Samples
from .reading import BadShardError, Fetched, Reader
from .stages import Meter
from .task import Request, Task

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Items [start, stop) of one chunk of a batch."""

    samples: Samples
    start: int
    stop: int


class Fetcher:
    """Draws and reads chunks; threads may share one, processes may not.

    Args:
        seed: of the task's draws.
        max_bad_shards: how many shards may be passed over.
        meter: counts what it does.

    Attributes:
        bad: paths of the shards that were passed over, with what was wrong.
    """

    def __init__(self, reader: Reader, task: Task[Any], *, seed: int, max_bad_shards: int, meter: Meter) -> None:
        self._reader, self._task, self._seed, self._allowed = reader, task, seed, max_bad_shards
        self._meter, self._lock = meter, Lock()
        self._bad: set[int] = set()
        self.bad: dict[str, str] = {}

    def fetch(self, places: Sequence[Place]) -> list[Fetched]:
        """Return the bytes of each place's items; the store is asked for all of them together.

        Raises:
            ShardError: when more than `max_bad_shards` shards are short, altered or gone, or the store does not answer.
        """
        while True:
            with self._meter.measure("draw"):
                requests = [self._draw(place) for place in places]
                rows = self._reader.locate(requests)
            try:
                with self._meter.measure("read"):
                    return self._reader.read(requests, rows)
            except BadShardError as problem:
                self.pass_over(problem)

    def pass_over(self, problem: BadShardError) -> None:
        """Replace a shard's clips from now on, or raise what is wrong with it."""
        shards = self._reader.catalogue.shards
        path = shards[problem.shard].path
        with self._lock:
            self._bad |= {problem.shard}  # a new set: another thread may be reading the old one
            if len(self._bad) > self._allowed or len(self._bad) == len(shards):
                raise problem.error
            if path not in self.bad:
                self.bad = {**self.bad, path: str(problem.error)}
                logger.warning("passed over, %d of at most %d: %s", len(self._bad), self._allowed, problem.error)

    def _draw(self, place: Place) -> Request:
        samples, catalogue = place.samples, self._reader.catalogue
        if self._bad:
            samples = samples._replace(clips=catalogue.replace_clips(samples.clips, self._bad))
        rng = np.random.default_rng([self._seed, samples.epoch, 2, samples.number])
        return self._task.draw(samples, catalogue, rng).part(place.start, place.stop)
