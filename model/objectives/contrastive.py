"""Symmetric InfoNCE over the batch, and the head's cross-entropy beside it."""

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from . import deranged
from .losses import EncodedPairs, Losses


def losses(model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings) -> Losses:
    """Compare aligned pairs with all sounds of other videos in the batch.

    The head learns its slope and threshold from the aligned pairs and as many deranged ones, so that probability 1/2
    separates the two. Of this second loss the towers see no gradient.
    """
    contrast = contrastive_loss(pairs, settings.temperature)
    head = deranged.losses(model, pairs._replace(image=pairs.image.detach(), audio=pairs.audio.detach()), settings)
    return head._replace(loss=contrast + head.loss)


def contrastive_loss(pairs: EncodedPairs, temperature: float) -> Tensor:
    """Return the symmetric InfoNCE loss, in nats, of aligned unit vectors (B, D).

    Mean over both directions of the cross-entropy of cosine / temperature (van den Oord et al., 2018, eq. 4; both
    ways as in Radford et al., 2021, figure 3). Other items of the same video are no negatives.
    """
    excluded, own = pairs.negatives()
    directions = []
    for ours, theirs in ((pairs.image, pairs.audio), (pairs.audio, pairs.image)):
        with torch.autocast(ours.device.type, enabled=False):
            similarity = ours.float() @ pairs.processes.gather(theirs.float()).T / temperature
        directions.append(functional.cross_entropy(similarity.masked_fill(excluded, -torch.inf), own))
    return (directions[0] + directions[1]) / 2
