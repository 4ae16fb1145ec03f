"""What training minimises: cross-entropy on pairs, or symmetric InfoNCE with a calibrated pair head beside it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .correspondence import CorrespondenceModel
from .negatives import derange


class Objective(NamedTuple):
    """Value of an objective on one batch; scalars on the batch's device, `loss` differentiable."""

    loss: Tensor
    accuracy: Tensor  # share of pairs, half of them matching, on the right side of probability 1/2
    pair_loss: Tensor  # cross-entropy of those pairs, nats: ln 2 = 0.693 for a guess


def pair_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits (B,) against matches (B,) bool, in nats."""
    return functional.binary_cross_entropy_with_logits(logits.float(), matches.float())


def contrastive_loss(image: Tensor, audio: Tensor, videos: Tensor, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss, in nats, of aligned unit vectors (B, D).

    Mean over both directions of the cross-entropy of cosine / temperature (van den Oord et al., 2018, eq. 4; both
    ways as in Radford et al., 2021, figure 3). Other items of the same video, ids in videos (B,), are no negatives.
    """
    with torch.autocast(image.device.type, enabled=False):
        similarity = image.float() @ audio.float().T / temperature
    same_video = videos[:, None] == videos[None, :]
    itself = torch.eye(len(videos), dtype=torch.bool, device=videos.device)
    similarity = similarity.masked_fill(same_video & ~itself, -torch.inf)
    target = torch.arange(len(videos), device=videos.device)
    return (functional.cross_entropy(similarity, target) + functional.cross_entropy(similarity.T, target)) / 2


def pair_objective(model: CorrespondenceModel, image: Tensor, audio: Tensor, matches: Tensor) -> Objective:
    """Judge pairs as the sampler drew them: image b against audio b, matching where matches (B,) says so."""
    logits = model.logits(image, audio)
    loss = pair_loss(logits, matches)
    return Objective(loss, ((logits > 0) == matches).float().mean(), loss.detach())


def contrastive_objective(
    model: CorrespondenceModel,
    image: Tensor,
    audio: Tensor,
    videos: Tensor,
    temperature: float,
    generator: torch.Generator,
) -> Objective:
    """Judge aligned pairs against all sounds of other videos in the batch.

    The head learns its slope and threshold from the aligned pairs and as many deranged ones, on detached embeddings:
    probability 1/2 separates the two, and the towers see the contrastive gradient only.
    """
    contrast = contrastive_loss(image, audio, videos, temperature)
    index = derange(videos, generator)
    other_video = videos[index] != videos
    matching = model.logits(image.detach(), audio.detach())
    mismatching = model.logits(image.detach(), audio.detach()[index])
    # Items without a partner of another video (one video fills more than half the batch) say nothing.
    partners = other_video.sum().clamp(min=1)
    loss = functional.softplus(-matching).mean() / 2 + (functional.softplus(mismatching) * other_video).sum() / (
        2 * partners
    )
    accuracy = (matching > 0).float().mean() / 2 + ((mismatching <= 0) & other_video).sum() / (2 * partners)
    return Objective(contrast + loss, accuracy, loss.detach())
