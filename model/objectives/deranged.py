"""Cross-entropy on aligned pairs and as many mismatching ones of the same images and sounds.

The paper's loss on twice as many pairs for the same encoding; other objectives measure the head by it.
"""

from torch.nn import functional

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from .losses import EncodedPairs, Losses


def losses(model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings) -> Losses:
    """Compare each image with its own audio and with one of another video, at even odds.

    Each image and each audio is in one match and in one mismatch, so neither alone can tell which is which.
    """
    processes, count = pairs.processes, len(pairs.videos)
    every_video = processes.gather(pairs.videos)
    index = pairs.derange(every_video)
    other_video = every_video[index] != every_video
    # Items without a partner of another video (one video fills more than half the batch) say nothing.
    partners = other_video.sum().clamp(min=1) / processes.ranks
    mine = slice(processes.rank * count, (processes.rank + 1) * count)
    index, other_video = index[mine], other_video[mine]
    matching = model.logits(pairs.image, pairs.audio)
    mismatching = model.logits(pairs.image, processes.gather(pairs.audio)[index])
    loss = functional.softplus(-matching).mean() + (functional.softplus(mismatching) * other_video).sum() / partners
    accuracy = (matching > 0).float().mean() + ((mismatching <= 0) & other_video).sum() / partners
    return Losses(loss / 2, accuracy / 2, loss.detach() / 2)
