"""Scorers of an evaluation: how far a pair is from corresponding, as the model's own head decides."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from ..networks.network import CorrespondenceModel

PAIRS_AT_ONCE = 1024


class PairScorer(Protocol):
    """Decides whether pairs of features correspond: p = sigmoid(bias - slope * gap)."""

    @property
    def slope(self) -> float: ...
    @property
    def bias(self) -> float: ...

    def gaps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Return how far image and sound of row i are from corresponding, float64 (M,), of features of M each."""


class DistanceScorer(NamedTuple):
    """Scorer by Euclidean distance, from what `distance_coefficients` of the model returns."""

    slope: float
    bias: float

    def gaps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Return the distances (M,) of rows of unit vectors (M, D)."""
        gaps: np.ndarray = np.linalg.norm(image.astype(np.float64) - audio.astype(np.float64), axis=1)
        return gaps


@runtime_checkable
class Locator(Protocol):
    """A scorer that says where the sound is."""

    def heat_maps(self, image: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """Return the probability (M, H', W') that sound i comes from each position of frame i: features of M each."""


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
