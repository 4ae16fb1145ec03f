"""What all objectives take and give.

With several processes an objective takes this process's part of the batch and compares it with all parts. Its loss is
such that the mean over the processes is the loss of one process with the whole batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from ..training.distributed import Processes


class EncodedPairs(NamedTuple):
    """B pairs of a frame and a sound after the towers, this process's part of a batch."""

    image: Tensor
    """Features of the frames, float32 (B, ...)."""
    audio: Tensor
    """Features of the sounds, float32 (B, ...)."""
    matches: Tensor
    """True where the sound is the frame's own, bool (B,)."""
    videos: Tensor
    """Identity of the frame's source video, int64 (B,)."""
    derange: Callable[[Tensor], Tensor]
    """From the videos of the whole batch to a derangement, alike in all processes: `training.step.Derange`."""
    processes: Processes

    def negatives(self) -> tuple[Tensor, Tensor]:
        """Return which pairs (B, ranks * B) are neither a match nor a negative, and each item's own column (B,)."""
        own = torch.arange(len(self.videos), device=self.videos.device) + self.processes.rank * len(self.videos)
        excluded = self.videos[:, None] == self.processes.gather(self.videos)[None, :]
        return excluded.scatter(1, own[:, None], False), own


class Losses(NamedTuple):
    """Value of an objective on a batch: scalars on the batch's device, of which `loss` is differentiable."""

    loss: Tensor
    accuracy: Tensor
    """Share of pairs, half of them matching, on the right side of probability 1/2."""
    pair_loss: Tensor
    """Cross-entropy of those pairs, nats: ln 2 = 0.693 for a guess."""


LossFunction = Callable[[CorrespondenceModel, EncodedPairs, TrainSettings], Losses]
"""The function `losses` of an objective's file: returns the objective's value on a batch."""
