"""Scorers of an evaluation: the decisions of the model's own head."""

import numpy as np
import torch

from ..networks.network import CorrespondenceModel
from .avc import DistanceScorer, PairScorer

PAIRS_AT_ONCE = 1024


class LogitScorer:
    """Scorer by a network that is no function of a distance; its gap is the negated logit."""

    slope = 1.0
    bias = 0.0

    def __init__(self, model: CorrespondenceModel, device: torch.device) -> None:
        self.model, self.device = model, device

    @torch.inference_mode()
    def gaps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Return the negated logits of rows of features."""
        logits = []
        for start in range(0, len(image), PAIRS_AT_ONCE):
            rows = slice(start, start + PAIRS_AT_ONCE)
            features = (torch.from_numpy(part[rows]).to(self.device).float() for part in (image, audio))
            logits.append(self.model.logits(*features).double().cpu().numpy())
        return -np.concatenate(logits)


class LocalisingScorer(LogitScorer):
    """Scorer that says where in the frame the sound is; its gap is the negated logit of the best position."""

    @torch.inference_mode()
    def heat_maps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Return the probability (M, H', W') of each position for maps (M, D, H', W') and vectors (M, D)."""
        pair = (torch.from_numpy(part).to(self.device).float() for part in (image, audio))
        maps: np.ndarray = self.model.location_logits(*pair).sigmoid().cpu().numpy()
        return maps


def scorer_of(model: CorrespondenceModel, device: torch.device) -> PairScorer:
    """Return the scorer that decides as the model does."""
    line = model.distance_coefficients()
    if line is not None:
        return DistanceScorer(*line)
    return LocalisingScorer(model, device) if model.localises else LogitScorer(model, device)
