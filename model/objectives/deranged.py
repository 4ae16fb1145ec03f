"""Cross-entropy on aligned pairs and as many mismatching ones of the same images and sounds.

The paper's loss on twice as many pairs for the same encoding.
"""

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from ..training.distributed import Processes
from .losses import Derange, EncodedPairs, Losses, deranged_losses


def losses(
    model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings, derange: Derange, processes: Processes
) -> Losses:
    """Compare each image with its own audio and with one of another video, at even odds."""
    return deranged_losses(model, pairs, derange, processes)
