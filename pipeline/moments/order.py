"""Which clip comes when: a pure function of the seed, the epoch and the place in it.

An epoch visits each clip `rounds` times. Clips are read in windows: runs of neighbours in one shard, so that a store
answers in long reads. The windows are permuted; inside a window each round is a permutation of its clips:

    epoch    | window 7: round 0, round 1, ... | window 2: round 0, round 1, ... | ...
    lanes    |<------- lane 0 ------->|<------- lane 1 ------->| ... |<-- lane L-1 -->|   equal parts of that line
    batch n  = the n-th cell of every lane; a cell is `cell_size` neighbouring views

So each batch takes from as many places of the corpus as there are lanes, and whoever makes some cells of each batch
reads a few windows only. Nothing depends on who that is: not on ranks, not on workers, not on where a run began.
With one window as large as the split (`window_clips: 0`) an epoch is a true global shuffle.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
LARGEST_CELL = 16
_SMALLEST_CELL = 4


class Visits(NamedTuple):
    """The clips of one cell."""

    epoch: int
    number: int
    """Of the cell in its epoch; with the epoch it names the cell's random draws."""
    window: int
    """The window of the first visit."""
    clips: Ints
    """(c,) numbers of the clips."""
    strata: Ints
    """(c,) in [0, rounds): another one at each visit of a clip in an epoch."""


class Order:
    """The order of all visits of all epochs.

    Args:
        shard: (n,) the shard of each clip, ascending.
        seed: of the order.
        batch_size: pairs in a batch of all ranks together.
        per_clip: least number of visits of a clip in an epoch.
        window_clips: most clips in a window; 0 for all of the split in one.

    Attributes:
        cell_size: pairs in a cell: the largest divisor of the batch size up to 16 that is not too small.
        cells: cells in a batch.
        rounds: visits of a clip in an epoch: `per_clip`, or more where an epoch would not fill a batch.
        steps: batches in an epoch; what is left of an epoch after them, less than a batch, is another part each time.
    """

    def __init__(self, shard: Ints, *, seed: int, batch_size: int, per_clip: int, window_clips: int) -> None:
        self.seed, self.batch_size = seed, batch_size
        self.cell_size = cell_size(batch_size)
        self.cells = batch_size // self.cell_size
        self.rounds = max(per_clip, -(-batch_size // len(shard)))
        self.steps = len(shard) * self.rounds // batch_size
        self._first, self._sizes = _windows(shard, window_clips)
        self._epoch = lru_cache(maxsize=4)(self._arrange_epoch)
        self._inside = lru_cache(maxsize=2 * self.cells + 2)(self._arrange_window)

    def visits(self, step: int, cell: int) -> Visits:
        """Return the visits of one cell of a batch, counting batches from the first of epoch 0."""
        epoch, within = divmod(step, self.steps)
        number = cell * self.steps + within
        positions = np.arange(number * self.cell_size, (number + 1) * self.cell_size)
        windows, ends = self._epoch(epoch)
        places = np.searchsorted(ends, positions, side="right")
        clips, strata = np.empty_like(positions), np.empty_like(positions)
        for place in np.unique(places).tolist():
            here = places == place
            window = int(windows[place])
            order, shift = self._inside(epoch, window)
            size = int(self._sizes[window])
            turn, slot = np.divmod(positions[here] - ends[place] + size * self.rounds, size)
            inside = order[turn, slot]
            clips[here] = self._first[window] + inside
            strata[here] = (turn + shift[inside]) % self.rounds
        return Visits(epoch, number, int(windows[places[0]]), clips, strata)

    def _arrange_epoch(self, epoch: int) -> tuple[Ints, Ints]:
        """Return the windows of an epoch in their order, and the position at which each ends."""
        windows = np.random.default_rng([self.seed, epoch, 0]).permutation(len(self._sizes))
        return windows, np.cumsum(self._sizes[windows] * self.rounds)

    def _arrange_window(self, epoch: int, window: int) -> tuple[Ints, Ints]:
        """Return the clips of a window in the order of each round (rounds, n), and each clip's first stratum (n,)."""
        rng = np.random.default_rng([self.seed, epoch, 1, window])
        clips = np.arange(self._sizes[window])
        order = rng.permuted(np.tile(clips, (self.rounds, 1)), axis=1)
        return order, rng.integers(self.rounds, size=len(clips))

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_epoch", "_inside")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=4)(self._arrange_epoch)
        self._inside = lru_cache(maxsize=2 * self.cells + 2)(self._arrange_window)


def cell_size(batch_size: int) -> int:
    """Return the largest divisor of a batch's size that is at most 16; the whole batch if that were below 4."""
    largest = max(size for size in range(1, LARGEST_CELL + 1) if batch_size % size == 0)
    return largest if largest >= _SMALLEST_CELL else batch_size


def _windows(shard: Ints, window_clips: int) -> tuple[Ints, Ints]:
    """Cut the clips of each shard into windows of nearly equal size; return the first clip and the size of each."""
    if not window_clips:
        return np.zeros(1, np.int64), np.array([len(shard)])
    borders = [0]
    for size in np.bincount(shard).tolist():
        parts = -(-size // window_clips)
        begin = borders[-1]
        borders += [begin + size * (part + 1) // parts for part in range(parts)]
    ends = np.array(borders)
    return ends[:-1], np.diff(ends)
