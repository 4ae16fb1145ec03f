"""Figures of the audio-visual correspondence task: does this sound belong to this frame?

The pairs are those of `pairing`, half of them positive; a pair belongs to the source video of its frame.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .bootstrap import intervals, weighted_mean
from .pairing import Pairs
from .scorer import DistanceScorer, PairScorer
from .scores import Scores

CHANCE = {"accuracy": 0.5, "roc_auc": 0.5, "average_precision": 0.5}
"""Of balanced pairs; the calibration error has no chance, 0 is perfect."""
CALIBRATION_BINS = 15  # of equal width, as Guo et al. 2017
DIGITS = 6
"""Behind the point, of sums of real numbers: how many threads computed the embeddings shows only behind these."""
HISTOGRAM_BINS = 30
LONGEST_DISTANCE = 2.0  # between unit vectors
LOGITS = (-10.0, 10.0)  # range of the histogram where the gap is a logit; what lies outside is counted at its ends


class Decisions:
    """Figures of 2 M decided pairs, M positive ones and M negative ones, under any weights.

    Args:
        positive, negative: float64 (M,) gaps; pair i of each belongs to the same frame.
        scorer: what decides.
    """

    def __init__(self, positive: np.ndarray, negative: np.ndarray, scorer: PairScorer) -> None:
        truth = np.repeat([True, False], [len(positive), len(negative)])
        # The head may have turned its sign, so that far means "corresponds": the score is the logit.
        logits = scorer.bias - scorer.slope * np.concatenate([positive, negative])
        self.hits = (logits > 0) == truth
        self._scores = Scores(logits, truth)
        probability = np.exp(-np.logaddexp(0.0, -logits))
        bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        self._excess = np.zeros((len(truth), CALIBRATION_BINS))
        self._excess[np.arange(len(truth)), bins] = probability - truth

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return accuracy, roc_auc, average_precision and calibration_error (B,) under weights (B, 2 M).

        calibration_error: the mean over pairs of |mean p - share of positives| of their bin of p.
        """
        return {
            "accuracy": weighted_mean(weights, self.hits.astype(np.float64)),
            **self._scores.measure(weights),
            "calibration_error": np.abs(weighted_mean(weights, self._excess)).sum(axis=1).round(DIGITS),
        }

    def figures(self, owners: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
        """Return the four figures with "interval", "chance", "pairs" and "videos"; owners: (M,) the frames' videos."""
        whole = self.measure(np.ones((1, len(self.hits))))
        return {
            **{name: float(value[0]) for name, value in whole.items()},
            "intervals": intervals(self.measure, np.tile(owners, 2), bootstrap, seed),
            "chances": dict(CHANCE),
            "pairs": len(self.hits),
            "videos": len(np.unique(owners)),
        }


class ScoredPairs(NamedTuple):
    """M negative pairs, and the M positive ones of the same frames, with their gaps."""

    pairs: Pairs
    positive: np.ndarray
    """float64 (M,), the gap of each frame and its own sound."""
    negative: np.ndarray
    """float64 (M,), the gap of each frame and the sound it was set against."""


def score_pairs(
    features: tuple[np.ndarray, np.ndarray], negatives: Mapping[str, Pairs], scorer: PairScorer
) -> dict[str, ScoredPairs]:
    """Score the pairs of `pairing.draw_negatives`, and the positive ones of the same frames, by kind of negative.

    features: of image and audio, (V, ...) each, what the scorer takes of V views; for `DistanceScorer` unit vectors.
    """
    image, audio = features
    positive = np.full(len(image), np.nan)  # the kind other_video comes first and has every frame that was drawn
    scored = {}
    for kind, pairs in negatives.items():
        gaps = np.empty(len(pairs.frames))
        for number in np.unique(pairs.seeds):  # one seed after the other: features may be large
            rows = np.flatnonzero(pairs.seeds == number)
            frames = pairs.frames[rows]
            gaps[rows] = scorer.gaps(image[frames], audio[pairs.sounds[rows]])
            if kind == "other_video":
                positive[frames] = scorer.gaps(image[frames], audio[frames])
        scored[kind] = ScoredPairs(pairs, positive[pairs.frames], gaps)
    return scored


def correspondence(
    scored: Mapping[str, ScoredPairs],
    videos: np.ndarray,
    labels: np.ndarray,
    scorer: PairScorer,
    seed: int,
    bootstrap: int,
) -> dict[str, Any]:
    """Measure correspondence on balanced pairs of C clips, of videos and labels (C,).

    The headline is negatives of another video; `by_negative` has all kinds, each with the positives of the same
    frames; `per_class` is the headline by the frame's label. The gaps are distances only of a `DistanceScorer`.
    `best_threshold_accuracy` is a diagnostic (the threshold is fitted to these very pairs), never a result.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for kind, (pairs, positive, gaps) in scored.items():
        if not len(gaps):
            kinds[kind] = {"pairs": 0}
            continue
        decisions = Decisions(positive, gaps, scorer)
        accuracies = decisions.hits.reshape(2, -1).mean(axis=1).tolist()
        kinds[kind] = decisions.figures(videos[pairs.clips], bootstrap, seed)
        kinds[kind] |= dict(zip(("positive_accuracy", "negative_accuracy"), accuracies, strict=True))
    pairs, ours, negative = scored["other_video"]
    hits = Decisions(ours, negative, scorer).hits.reshape(2, -1).mean(axis=0)
    best_accuracy, best_threshold = _best_threshold(ours, negative)
    by_distance = isinstance(scorer, DistanceScorer)
    return {
        **kinds["other_video"],
        "interval": kinds["other_video"]["intervals"]["accuracy"],
        "chance": CHANCE["accuracy"],
        "seeds": {str(number): float(hits[pairs.seeds == number].mean()) for number in np.unique(pairs.seeds)},
        "by_negative": kinds,
        "per_class": _per_class(hits, videos[pairs.clips], labels[pairs.clips], bootstrap, seed),
        "judged_by": "distance" if by_distance else "logit",
        "positive_distance": round(float(ours.mean()), DIGITS),
        "negative_distance": round(float(negative.mean()), DIGITS),
        "slope": scorer.slope,
        "bias": scorer.bias,
        "threshold": scorer.bias / scorer.slope,
        "diagnostic": {"best_threshold": best_threshold, "best_threshold_accuracy": best_accuracy},
        "histogram": _histogram(ours, negative, (0.0, LONGEST_DISTANCE) if by_distance else LOGITS),
    }


def _per_class(
    hits: np.ndarray, videos: np.ndarray, labels: np.ndarray, bootstrap: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the accuracy by label; hits (M,): the share of right ones among the two pairs of a frame."""
    classes = {}
    for label in np.unique(labels[labels != ""]).tolist():
        own, owners = hits[labels == label], videos[labels == label]

        def accuracy(weights: np.ndarray, own: np.ndarray = own) -> dict[str, np.ndarray]:
            return {"accuracy": weighted_mean(weights, own)}

        classes[label] = {
            "accuracy": float(own.mean()),
            "interval": intervals(accuracy, owners, bootstrap, seed)["accuracy"],
            "pairs": 2 * len(own),
            "videos": len(np.unique(owners)),
        }
    return classes


def _best_threshold(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Return (accuracy, threshold) of the best rule "corresponds if distance <= threshold"."""
    values = np.concatenate([positive, negative])
    order = np.argsort(values, kind="stable")
    gains = np.where(order < len(positive), 1, -1)  # a positive below the threshold is a hit, a negative a miss
    balance = np.cumsum(gains)
    ends = np.append(values[order][1:] > values[order][:-1], True)  # no threshold falls between equal distances
    best = int(np.argmax(np.where(ends, balance, -1)))
    if balance[best] <= 0 or not ends[best]:
        return 0.5 * len(negative) / len(positive), 0.0
    return float((len(negative) + balance[best]) / len(values)), float(values[order][best])


def _histogram(positive: np.ndarray, negative: np.ndarray, bounds: tuple[float, float]) -> dict[str, list[Any]]:
    edges = np.linspace(*bounds, HISTOGRAM_BINS + 1)
    return {
        "edges": edges.round(6).tolist(),
        "positive": np.histogram(positive.clip(*bounds), edges)[0].tolist(),
        "negative": np.histogram(negative.clip(*bounds), edges)[0].tolist(),
    }
