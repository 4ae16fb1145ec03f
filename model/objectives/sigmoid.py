"""Cross-entropy of the head on each image with each audio of the batch, on its own."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..networks.distance import cosine_to_distance
from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from ..training.distributed import Processes
from .losses import Derange, EncodedPairs, Losses, candidates, deranged_losses


def losses(
    model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings, derange: Derange, processes: Processes
) -> Losses:
    """Compare each image with each audio of the batch; head and towers learn together."""
    loss = sigmoid_loss(model, pairs.image, pairs.audio, pairs.videos, processes)
    with torch.no_grad():
        measured = deranged_losses(model, pairs, derange, processes)
    return measured._replace(loss=loss)


def sigmoid_loss(
    model: CorrespondenceModel, image: Tensor, audio: Tensor, videos: Tensor, processes: Processes
) -> Tensor:
    """Return the loss, in nats a pair, of aligned unit vectors (B, D), ids of their videos in videos (B,).

    As in SigLIP (Zhai et al., 2023, eq. 1), summed over all sounds of the batch and averaged over the images. There a
    learned bias near -log(B - 1) stands for mismatches being B - 1 times as frequent; here it is that prior, fixed and
    apart from the head's own bias, so that the head's probability stays that of one match to one mismatch.
    """
    excluded, own = candidates(videos, processes)
    with torch.autocast(image.device.type, enabled=False):
        cosine = image.float() @ processes.gather(audio.float()).T
    logits = model.head(cosine_to_distance(cosine)) - math.log(max(excluded.shape[1] - 1, 1))
    is_own = torch.arange(excluded.shape[1], device=own.device) == own[:, None]  # one_hot would read the numbers
    signs = is_own * 2 - 1
    return functional.softplus(-signs * logits).masked_fill(excluded, 0.0).sum(dim=1).mean()
