"""Which clip comes when: a pure function of the seed, the epoch and the place in it.

An epoch takes each clip `passes` times. Clips are read in blocks: runs of neighbours in one shard, so that a store
answers in long reads. The blocks are permuted; inside a block each pass is a permutation of its clips:

    epoch    | block 7: pass 0, pass 1, ... | block 2: pass 0, pass 1, ... | ...
    streams   |<------- stream 0 ------>|<------- stream 1 ------>| ... |<-- stream L-1 -->|   equal parts of that line
    batch n  = the n-th chunk of every stream; a chunk is `chunk_size` neighbouring samples

So each batch takes from as many places of the corpus as there are streams, and whoever makes some chunks of each batch
reads a few blocks only. Nothing depends on who that is: not on ranks, not on workers, not on where a run began.
With one block as large as the split (`block_clips: 0`) an epoch is a true global shuffle.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
LARGEST_CHUNK = 16
_SMALLEST_CHUNK = 4


class Samples(NamedTuple):
    """The clips of one chunk."""

    epoch: int
    number: int
    """Of the chunk in its epoch; with the epoch it names the chunk's random draws."""
    block: int
    """The block of the first sample."""
    clips: Ints
    """(c,) numbers of the clips."""
    segments: Ints
    """(c,) in [0, passes): the part of the clip's time to draw from, another one in each pass of an epoch."""
    passes: int
    """Samples of a clip in an epoch."""


class Order:
    """The order of all samples of all epochs.

    Args:
        shard: (n,) the shard of each clip, ascending.
        seed: of the order.
        batch_size: pairs in a batch of all ranks together.
        per_clip: least number of samples of a clip in an epoch.
        block_clips: most clips in a block; 0 for all of the split in one.

    Attributes:
        chunk_size: pairs in a chunk: the largest divisor of the batch size up to 16 that is not too small.
        chunks: chunks in a batch.
        passes: samples of a clip in an epoch: `per_clip`, or more where an epoch would not fill a batch.
        steps: batches in an epoch; what is left of an epoch after them, less than a batch, is another part each time.
    """

    def __init__(self, shard: Ints, *, seed: int, batch_size: int, per_clip: int, block_clips: int) -> None:
        self.seed, self.batch_size = seed, batch_size
        self.chunk_size = chunk_size(batch_size)
        self.chunks = batch_size // self.chunk_size
        self.passes = max(per_clip, -(-batch_size // len(shard)))
        self.steps = len(shard) * self.passes // batch_size
        self._first, self._sizes = _blocks(shard, block_clips)
        self._epoch = lru_cache(maxsize=4)(self._arrange_epoch)
        self._inside = lru_cache(maxsize=2 * self.chunks + 2)(self._arrange_block)

    def samples(self, step: int, chunk: int) -> Samples:
        """Return the samples of one chunk of a batch, counting batches from the first of epoch 0."""
        epoch, within = divmod(step, self.steps)
        number = chunk * self.steps + within
        positions = np.arange(number * self.chunk_size, (number + 1) * self.chunk_size)
        blocks, ends = self._epoch(epoch)
        places = np.searchsorted(ends, positions, side="right")
        clips, segments = np.empty_like(positions), np.empty_like(positions)
        for place in np.unique(places).tolist():
            here = places == place
            block = int(blocks[place])
            order, shift = self._inside(epoch, block)
            size = int(self._sizes[block])
            turn, slot = np.divmod(positions[here] - ends[place] + size * self.passes, size)
            inside = order[turn, slot]
            clips[here] = self._first[block] + inside
            segments[here] = (turn + shift[inside]) % self.passes
        return Samples(epoch, number, int(blocks[places[0]]), clips, segments, self.passes)

    def _arrange_epoch(self, epoch: int) -> tuple[Ints, Ints]:
        """Return the blocks of an epoch in their order, and the position at which each ends."""
        blocks = np.random.default_rng([self.seed, epoch, 0]).permutation(len(self._sizes))
        return blocks, np.cumsum(self._sizes[blocks] * self.passes)

    def _arrange_block(self, epoch: int, block: int) -> tuple[Ints, Ints]:
        """Return the clips of a block in the order of each pass (passes, n), and each clip's first segment (n,)."""
        rng = np.random.default_rng([self.seed, epoch, 1, block])
        clips = np.arange(self._sizes[block])
        order = rng.permuted(np.tile(clips, (self.passes, 1)), axis=1)
        return order, rng.integers(self.passes, size=len(clips))

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_epoch", "_inside")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=4)(self._arrange_epoch)
        self._inside = lru_cache(maxsize=2 * self.chunks + 2)(self._arrange_block)


def chunk_size(batch_size: int) -> int:
    """Return the largest divisor of a batch's size that is at most 16; the whole batch if that were below 4."""
    largest = max(size for size in range(1, LARGEST_CHUNK + 1) if batch_size % size == 0)
    return largest if largest >= _SMALLEST_CHUNK else batch_size


def _blocks(shard: Ints, block_clips: int) -> tuple[Ints, Ints]:
    """Cut the clips of each shard into blocks of nearly equal size; return the first clip and the size of each."""
    if not block_clips:
        return np.zeros(1, np.int64), np.array([len(shard)])
    borders = [0]
    for size in np.bincount(shard).tolist():
        parts = -(-size // block_clips)
        begin = borders[-1]
        borders += [begin + size * (part + 1) // parts for part in range(parts)]
    ends = np.array(borders)
    return ends[:-1], np.diff(ends)
