"""Cross-entropy on pairs as the sampler drew them."""

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from ..training.distributed import Processes
from .losses import Derange, EncodedPairs, Losses, pair_loss


def losses(
    model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings, derange: Derange, processes: Processes
) -> Losses:
    """Compare image b with audio b, matching where matches (B,) says so."""
    logits = model.logits(pairs.image, pairs.audio)
    loss = pair_loss(logits, pairs.matches)
    return Losses(loss, ((logits > 0) == pairs.matches).float().mean(), loss.detach())
