"""What training minimises: cross-entropy on pairs as drawn, or on all pairs that a batch of matching ones can form.

With several processes every function takes this process's part of the batch and judges it against all parts. Its loss
is such that the mean over the processes is the loss of one process with the whole batch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.distance import cosine_to_distance
from ..networks.network import CorrespondenceModel
from .distributed import ALONE, Processes
from .negatives import derange


class Objective(NamedTuple):
    """Value of an objective on one batch; scalars on the batch's device, `loss` differentiable."""

    loss: Tensor
    accuracy: Tensor  # share of pairs, half of them matching, on the right side of probability 1/2
    pair_loss: Tensor  # cross-entropy of those pairs, nats: ln 2 = 0.693 for a guess


def pair_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits (B,) against matches (B,) bool, in nats."""
    return functional.binary_cross_entropy_with_logits(logits.float(), matches.float())


def contrastive_loss(
    image: Tensor,
    audio: Tensor,
    videos: Tensor,
    temperature: float,
    processes: Processes = ALONE,
    smoothing: float = 0.0,
) -> Tensor:
    """Return the symmetric InfoNCE loss, in nats, of aligned unit vectors (B, D).

    Mean over both directions of the cross-entropy of cosine / temperature (van den Oord et al., 2018, eq. 4; both
    ways as in Radford et al., 2021, figure 3). Other items of the same video, ids in videos (B,), are no negatives.
    smoothing is the share of the target that the match and all negatives share alike (Szegedy et al., 2016, section 7).
    """
    excluded, own = _grid(videos, processes)
    losses = []
    for ours, theirs in ((image, audio), (audio, image)):
        with torch.autocast(image.device.type, enabled=False):
            similarity = ours.float() @ processes.gather(theirs.float()).T / temperature
        similarity = similarity.masked_fill(excluded, -torch.inf)
        loss = functional.cross_entropy(similarity, own)
        if smoothing:
            likelihood = functional.log_softmax(similarity, dim=1).masked_fill(excluded, 0.0)
            shared = -(likelihood.sum(dim=1) / (~excluded).sum(dim=1)).mean()
            loss = (1.0 - smoothing) * loss + smoothing * shared
        losses.append(loss)
    return (losses[0] + losses[1]) / 2


def sigmoid_loss(
    model: CorrespondenceModel, image: Tensor, audio: Tensor, videos: Tensor, processes: Processes = ALONE
) -> Tensor:
    """Return the loss, in nats a pair, of judging each image against each sound of the batch on its own.

    As in SigLIP (Zhai et al., 2023, eq. 1), summed over all sounds of the batch and averaged over the images. There a
    learned bias near -log(B - 1) stands for mismatches being B - 1 times as frequent; here it is that prior, fixed and
    apart from the head's own bias, so that the head's probability stays that of one match to one mismatch.
    """
    excluded, own = _grid(videos, processes)
    with torch.autocast(image.device.type, enabled=False):
        cosine = image.float() @ processes.gather(audio.float()).T
    logits = model.head(cosine_to_distance(cosine)) - math.log(max(excluded.shape[1] - 1, 1))
    is_own = torch.arange(excluded.shape[1], device=own.device) == own[:, None]  # one_hot would read the numbers
    signs = is_own * 2 - 1
    return functional.softplus(-signs * logits).masked_fill(excluded, 0.0).sum(dim=1).mean()


def pair_objective(model: CorrespondenceModel, image: Tensor, audio: Tensor, matches: Tensor) -> Objective:
    """Judge pairs as the sampler drew them: image b against audio b, matching where matches (B,) says so."""
    logits = model.logits(image, audio)
    loss = pair_loss(logits, matches)
    return Objective(loss, ((logits > 0) == matches).float().mean(), loss.detach())


def deranged_objective(
    model: CorrespondenceModel,
    image: Tensor,
    audio: Tensor,
    videos: Tensor,
    generator: torch.Generator,
    processes: Processes = ALONE,
) -> Objective:
    """Judge aligned pairs and as many mismatching ones of the same images and sounds, at even odds.

    The paper's loss on twice as many pairs for the same encoding: each image and each sound is in one match and in one
    mismatch, so neither alone can tell which is which.
    """
    judged = _judge_deranged(model, image, audio, videos, generator, processes)
    return judged._replace(pair_loss=judged.loss.detach())


def contrastive_objective(
    model: CorrespondenceModel,
    image: Tensor,
    audio: Tensor,
    videos: Tensor,
    temperature: float,
    generator: torch.Generator,
    processes: Processes = ALONE,
    smoothing: float = 0.0,
    pair_weight: float = 0.0,
) -> Objective:
    """Judge aligned pairs against all sounds of other videos in the batch.

    The head learns its slope and threshold from the aligned pairs and as many deranged ones: probability 1/2 separates
    the two. Of this loss the towers see the share pair_weight of the gradient, at 0 the contrastive one only.
    """
    contrast = contrastive_loss(image, audio, videos, temperature, processes, smoothing)
    seen = [_with_gradient(vectors, pair_weight) for vectors in (image, audio)]
    judged = _judge_deranged(model, *seen, videos, generator, processes)
    return Objective(contrast + judged.loss, judged.accuracy, judged.loss.detach())


def sigmoid_objective(
    model: CorrespondenceModel,
    image: Tensor,
    audio: Tensor,
    videos: Tensor,
    generator: torch.Generator,
    processes: Processes = ALONE,
) -> Objective:
    """Judge each image against each sound of the batch by the head, which learns with the towers."""
    loss = sigmoid_loss(model, image, audio, videos, processes)
    with torch.no_grad():
        judged = _judge_deranged(model, image, audio, videos, generator, processes)
    return Objective(loss, judged.accuracy, judged.loss)


def _with_gradient(vectors: Tensor, share: float) -> Tensor:
    """Return the same vectors, through which only a share of the gradient flows back."""
    return share * vectors + (1.0 - share) * vectors.detach() if share else vectors.detach()


def _grid(videos: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """Return which pairs (B, ranks * B) are neither a match nor a negative, and each item's own column (B,)."""
    own = torch.arange(len(videos), device=videos.device) + processes.rank * len(videos)
    excluded = videos[:, None] == processes.gather(videos)[None, :]
    return excluded.scatter(1, own[:, None], False), own


def _judge_deranged(
    model: CorrespondenceModel,
    image: Tensor,
    audio: Tensor,
    videos: Tensor,
    generator: torch.Generator,
    processes: Processes,
) -> Objective:
    """Judge the aligned pairs and as many mismatching ones, at even odds. The generator must be the same everywhere."""
    every_video = processes.gather(videos)
    index = derange(every_video, generator)
    other_video = every_video[index] != every_video
    # Items without a partner of another video (one video fills more than half the batch) say nothing.
    partners = other_video.sum().clamp(min=1) / processes.ranks
    mine = slice(processes.rank * len(videos), (processes.rank + 1) * len(videos))
    index, other_video = index[mine], other_video[mine]
    matching = model.logits(image, audio)
    mismatching = model.logits(image, processes.gather(audio)[index])
    loss = functional.softplus(-matching).mean() + (functional.softplus(mismatching) * other_video).sum() / partners
    accuracy = (matching > 0).float().mean() + ((mismatching <= 0) & other_video).sum() / partners
    return Objective(loss / 2, accuracy / 2, loss.detach() / 2)
