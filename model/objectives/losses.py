"""Types that all objectives share, and the losses that several of them use.

With several processes every function takes this process's part of the batch and compares it with all parts. Its loss
is such that the mean over the processes is the loss of one process with the whole batch.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from ..training.distributed import Processes

Derange = Callable[[Tensor], Tensor]
"""From video ids int64 (B,) to a permutation int64 (B,) that gives each item one of another video, alike in all
processes; where it cannot, `videos[permutation] == videos`."""


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


class Losses(NamedTuple):
    """Value of an objective on a batch: scalars on the batch's device, of which `loss` is differentiable."""

    loss: Tensor
    accuracy: Tensor
    """Share of pairs, half of them matching, on the right side of probability 1/2."""
    pair_loss: Tensor
    """Cross-entropy of those pairs, nats: ln 2 = 0.693 for a guess."""


class LossFunction(Protocol):
    """The function `losses` of an objective's file."""

    def __call__(
        self,
        model: CorrespondenceModel,
        pairs: EncodedPairs,
        settings: TrainSettings,
        derange: Derange,
        processes: Processes,
    ) -> Losses:
        """Return the objective's value on a batch."""


def pair_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits (B,) against matches (B,) bool, in nats."""
    return functional.binary_cross_entropy_with_logits(logits.float(), matches.float())


def candidates(videos: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """Return which pairs (B, ranks * B) are neither a match nor a negative, and each item's own column (B,)."""
    own = torch.arange(len(videos), device=videos.device) + processes.rank * len(videos)
    excluded = videos[:, None] == processes.gather(videos)[None, :]
    return excluded.scatter(1, own[:, None], False), own


def deranged_losses(model: CorrespondenceModel, pairs: EncodedPairs, derange: Derange, processes: Processes) -> Losses:
    """Return the head's cross-entropy on the aligned pairs and as many mismatching ones, at even odds.

    Each image and each audio is in one match and in one mismatch, so neither alone can tell which is which.
    """
    every_video = processes.gather(pairs.videos)
    index = derange(every_video)
    other_video = every_video[index] != every_video
    # Items without a partner of another video (one video fills more than half the batch) say nothing.
    partners = other_video.sum().clamp(min=1) / processes.ranks
    count = len(pairs.videos)
    mine = slice(processes.rank * count, (processes.rank + 1) * count)
    index, other_video = index[mine], other_video[mine]
    matching = model.logits(pairs.image, pairs.audio)
    mismatching = model.logits(pairs.image, processes.gather(pairs.audio)[index])
    loss = functional.softplus(-matching).mean() + (functional.softplus(mismatching) * other_video).sum() / partners
    accuracy = (matching > 0).float().mean() + ((mismatching <= 0) & other_video).sum() / partners
    return Losses(loss / 2, accuracy / 2, loss.detach() / 2)
