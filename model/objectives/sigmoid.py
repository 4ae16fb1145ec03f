"""Cross-entropy of the head on each image with each audio of the batch, on its own."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.distance import cosine_to_distance
from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from . import deranged
from .losses import EncodedPairs, Losses


def losses(model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings) -> Losses:
    """Compare each image with each audio of the batch; head and towers learn together."""
    loss = sigmoid_loss(model, pairs)
    with torch.no_grad():
        return deranged.losses(model, pairs, settings)._replace(loss=loss)


def sigmoid_loss(model: CorrespondenceModel, pairs: EncodedPairs) -> Tensor:
    """Return the loss, in nats a pair, of aligned unit vectors (B, D).

    As in SigLIP (Zhai et al., 2023, eq. 1), summed over all sounds of the batch and averaged over the images. There a
    learned bias near -log(B - 1) stands for mismatches being B - 1 times as frequent; here it is that prior, fixed and
    apart from the head's own bias, so that the head's probability stays that of one match to one mismatch.
    """
    excluded, own = pairs.negatives()
    with torch.autocast(pairs.image.device.type, enabled=False):
        cosine = pairs.image.float() @ pairs.processes.gather(pairs.audio.float()).T
    logits = model.head(cosine_to_distance(cosine)) - math.log(max(excluded.shape[1] - 1, 1))
    is_own = torch.arange(excluded.shape[1], device=own.device) == own[:, None]  # one_hot would read the numbers
    signs = is_own * 2 - 1
    return functional.softplus(-signs * logits).masked_fill(excluded, 0.0).sum(dim=1).mean()
