"""Symmetric InfoNCE over the batch, and the head's cross-entropy beside it."""

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from ..training.distributed import Processes
from .losses import Derange, EncodedPairs, Losses, candidates, deranged_losses


def losses(
    model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings, derange: Derange, processes: Processes
) -> Losses:
    """Compare aligned pairs with all sounds of other videos in the batch.

    The head learns its slope and threshold from the aligned pairs and as many deranged ones, so that probability 1/2
    separates the two. Of this second loss the towers see no gradient.
    """
    contrast = contrastive_loss(pairs.image, pairs.audio, pairs.videos, settings.temperature, processes)
    detached = pairs._replace(image=pairs.image.detach(), audio=pairs.audio.detach())
    head = deranged_losses(model, detached, derange, processes)
    return Losses(contrast + head.loss, head.accuracy, head.pair_loss)


def contrastive_loss(image: Tensor, audio: Tensor, videos: Tensor, temperature: float, processes: Processes) -> Tensor:
    """Return the symmetric InfoNCE loss, in nats, of aligned unit vectors (B, D).

    Mean over both directions of the cross-entropy of cosine / temperature (van den Oord et al., 2018, eq. 4; both
    ways as in Radford et al., 2021, figure 3). Other items of the same video, ids in videos (B,), are no negatives.
    """
    excluded, own = candidates(videos, processes)
    directions = []
    for ours, theirs in ((image, audio), (audio, image)):
        with torch.autocast(image.device.type, enabled=False):
            similarity = ours.float() @ processes.gather(theirs.float()).T / temperature
        directions.append(functional.cross_entropy(similarity.masked_fill(excluded, -torch.inf), own))
    return (directions[0] + directions[1]) / 2
