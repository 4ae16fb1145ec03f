"""Accuracy on the audio-visual correspondence task: does this sound belong to this frame?

Pure numpy. The pairs are fixed by the seed: every view gives one positive pair (its frame with its own sound) and one
negative pair (its frame with the sound of a view of another source video). The negatives are a derangement, so frames
and sounds each occur once among the positives and once among the negatives: neither alone tells the two apart
(the shortcut of Arandjelovic and Zisserman 2018, section 3.3, is closed by construction).
"""

from typing import Any, NamedTuple

import numpy as np

from .errors import EvaluationError

CHANCE = 0.5
HISTOGRAM_BINS = 30
LONGEST_DISTANCE = 2.0  # between unit vectors


class Head(NamedTuple):
    """The two numbers of the correspondence head: p = sigmoid(bias - slope * distance), slope > 0.

    They are what `DistanceHead.coefficients` of the model returns.
    """

    slope: float
    bias: float

    @property
    def threshold(self) -> float:
        """The distance at which p = 0.5."""
        return self.bias / self.slope


def distances(image: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Give the Euclidean distance of row i to row i: two (M, D) arrays -> float64 (M,)."""
    squared: np.ndarray = np.square(image.astype(np.float64) - audio.astype(np.float64)).sum(axis=1)
    gaps: np.ndarray = np.sqrt(squared)
    return gaps


def derange(videos: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw a permutation p of M items with videos[p[i]] != videos[i] for every i.

    A uniform permutation is repaired by swaps. An item i whose partner is of its own video v swaps partners with an
    item j that is not of v and has no partner of v. If v owns g <= M / 2 items, at most 2g - 1 < M items are unfit, so
    j exists; the swap settles i and unsettles nothing. Raises EvaluationError if a video owns over half of the items.
    """
    count = len(videos)
    owners, sizes = np.unique(videos, return_counts=True)
    if count == 0 or sizes.max() * 2 > count:
        largest = f"video '{owners[sizes.argmax()]}' owns {sizes.max()}" if count else "there is none"
        raise EvaluationError(
            f"cannot give each of {count} views the sound of another video: {largest}; "
            "evaluate on at least two videos, none of which holds more than half of the views"
        )
    partners = generator.permutation(count)
    for item in np.flatnonzero(videos[partners] == videos):
        video = videos[item]
        if videos[partners[item]] != video:
            continue  # an earlier swap settled it
        fit = np.flatnonzero((videos != video) & (videos[partners] != video))
        other = generator.choice(fit)
        partners[[item, other]] = partners[[other, item]]
    return partners


def correspondence(
    image: np.ndarray, audio: np.ndarray, videos: np.ndarray, head: Head, seed: int, bootstrap: int
) -> dict[str, Any]:
    """Measure AVC accuracy on 2 M balanced pairs of M views.

    image, audio: (M, D) unit vectors. videos: (M,) id of each view's source video. bootstrap: number of resamplings.
    The interval is the 95 % percentile bootstrap over source videos: views of one video are no independent evidence, so
    whole videos are drawn with replacement; a negative pair belongs to the video of its frame.
    `best_threshold_accuracy` is a diagnostic (the threshold is fitted to these very pairs), never a result.
    """
    generator = np.random.default_rng(seed)
    partners = derange(videos, generator)
    positive = distances(image, audio)
    negative = distances(image, audio[partners])
    hits = np.stack([head.bias - head.slope * positive > 0, head.bias - head.slope * negative <= 0])
    best_accuracy, best_threshold = _best_threshold(positive, negative)
    return {
        "accuracy": float(hits.mean()),
        "interval": _bootstrap_interval(hits.sum(axis=0), videos, generator, bootstrap),
        "chance": CHANCE,
        "pairs": int(hits.size),
        "roc_auc": _roc_auc(positive, negative),
        "positive_accuracy": float(hits[0].mean()),
        "negative_accuracy": float(hits[1].mean()),
        "positive_distance": float(positive.mean()),
        "negative_distance": float(negative.mean()),
        "slope": head.slope,
        "bias": head.bias,
        "threshold": head.threshold,
        "diagnostic": {"best_threshold": best_threshold, "best_threshold_accuracy": best_accuracy},
        "histogram": _histogram(positive, negative),
    }


def _bootstrap_interval(
    hits: np.ndarray, videos: np.ndarray, generator: np.random.Generator, bootstrap: int
) -> list[float]:
    _, owners = np.unique(videos, return_inverse=True)
    correct = np.bincount(owners, weights=hits)
    pairs = 2.0 * np.bincount(owners)
    accuracies = np.empty(bootstrap)
    for index in range(bootstrap):
        drawn = generator.integers(0, len(pairs), len(pairs))
        accuracies[index] = correct[drawn].sum() / pairs[drawn].sum()
    return [float(bound) for bound in np.quantile(accuracies, [0.025, 0.975])]


def _roc_auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Probability that a positive pair is closer than a negative one, ties counted half (Mann-Whitney)."""
    ordered = np.sort(negative)
    closer = len(ordered) - np.searchsorted(ordered, positive, side="right")
    level = len(ordered) - closer - np.searchsorted(ordered, positive, side="left")
    return float((closer + 0.5 * level).mean() / len(ordered))


def _best_threshold(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float]:
    """Give (accuracy, threshold) of the best rule "corresponds if distance <= threshold"."""
    values = np.concatenate([positive, negative])
    order = np.argsort(values, kind="stable")
    gains = np.where(order < len(positive), 1, -1)  # a positive below the threshold is a hit, a negative a miss
    balance = np.cumsum(gains)
    ends = np.append(values[order][1:] > values[order][:-1], True)  # no threshold falls between equal distances
    best = int(np.argmax(np.where(ends, balance, -1)))
    if balance[best] <= 0 or not ends[best]:
        return 0.5 * len(negative) / len(positive), 0.0
    return float((len(negative) + balance[best]) / len(values)), float(values[order][best])


def _histogram(positive: np.ndarray, negative: np.ndarray) -> dict[str, list[float] | list[int]]:
    edges = np.linspace(0.0, LONGEST_DISTANCE, HISTOGRAM_BINS + 1)
    return {
        "edges": [round(float(edge), 6) for edge in edges],
        "positive": np.histogram(positive.clip(0.0, LONGEST_DISTANCE), edges)[0].tolist(),
        "negative": np.histogram(negative.clip(0.0, LONGEST_DISTANCE), edges)[0].tolist(),
    }
