"""Cross-entropy on pairs as the sampler drew them."""

from torch.nn import functional

from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings
from .losses import EncodedPairs, Losses


def losses(model: CorrespondenceModel, pairs: EncodedPairs, settings: TrainSettings) -> Losses:
    """Compare image b with audio b, matching where matches (B,) says so."""
    logits = model.logits(pairs.image, pairs.audio).float()
    loss = functional.binary_cross_entropy_with_logits(logits, pairs.matches.float())
    return Losses(loss, ((logits > 0) == pairs.matches).float().mean(), loss.detach())
