"""The seam between the stream and a task: what a task asks for of each chunk of samples, and what it makes of it.

    Order ──> Samples ──> Task.draw ──> Request ──> Reader ──> frames, sounds ──> Task.collate ──> a batch
              (clips)                   (rows)                (arrays)

Order, reading, bad shards, ranks, workers, resume and metrics are the stream's and the same for every task.
"""

from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .catalogue import Catalogue
from .order import Ints, Samples

Batch_co = TypeVar("Batch_co", covariant=True)


class Request(NamedTuple):
    """Frames and sounds of a chunk of c items, before anything is read; both in the order of the items."""

    frame_clips: Ints
    """(f,)"""
    frames: Ints
    """(f,) numbers among the frames that the clip has to choose from."""
    crops: NDArray[np.float64]
    """(f, 2) in [0, 1): where the crop lies in what the frame leaves free, from the top and from the left."""
    sound_clips: Ints
    """(s,)"""
    starts: Ints
    """(s,) first samples."""
    lengths: Ints
    """(s,) samples, at most `Task.width`; a shorter sound is followed by zeros."""
    frame_counts: Ints
    """(c,) frames of each item."""
    sound_counts: Ints
    """(c,) sounds of each item."""
    targets: tuple[NDArray[Any], ...] = ()
    """(c, ...) each: what the task wants to have beside them in its batch."""

    @classmethod
    def of_pairs(
        cls, frame_clips: Ints, frames: Ints, crops: NDArray[np.float64], sound_clips: Ints, starts: Ints, length: int,
        targets: tuple[NDArray[Any], ...] = (),
    ) -> "Request":  # fmt: skip
        """Return a request of items of one frame and one sound each."""
        ones = np.ones(len(frames), np.int64)
        return cls(frame_clips, frames, crops, sound_clips, starts, length * ones, ones, ones, targets)

    def part(self, start: int, stop: int) -> "Request":
        """Return the items [start, stop)."""
        if start == 0 and stop == len(self.frame_counts):
            return self
        f, s = (slice(*_borders(counts, start, stop)) for counts in (self.frame_counts, self.sound_counts))
        items = slice(start, stop)
        return Request(
            self.frame_clips[f], self.frames[f], self.crops[f], self.sound_clips[s], self.starts[s], self.lengths[s],
            self.frame_counts[items], self.sound_counts[items], tuple(column[items] for column in self.targets),
        )  # fmt: skip


class Task(Protocol[Batch_co]):
    """What is learned from moments of clips. Sent to worker processes."""

    def require(self, catalogue: Catalogue) -> None:
        """Refuse clips that cannot give this task's items. Raises PairError."""

    def width(self, catalogue: Catalogue) -> int:
        """Return the samples in a row of the batch's sound."""

    def draw(self, samples: Samples, catalogue: Catalogue, rng: np.random.Generator) -> Request:
        """Draw the items of a chunk, one for each sample; a function of the arguments alone."""

    def collate(self, frames: Tensor, audio: Tensor, *targets: Tensor) -> Batch_co:
        """Return a batch.

        Args:
            frames: uint8 (F, S, S, 3), RGB.
            audio: int16 (A, N), mono PCM.
            targets: those of the requests, joined.
        """


def _borders(counts: Ints, start: int, stop: int) -> tuple[int, int]:
    return int(counts[:start].sum()), int(counts[:stop].sum())
