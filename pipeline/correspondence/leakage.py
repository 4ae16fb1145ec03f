"""Look for leakage: whether the frame alone, or the sound alone, tells matching pairs from others.

Nothing but their correspondence may tell them apart. Two small classifiers try on half of some pairs and are judged on
the other half: logistic regression on the sound's energies (32 bands by 8 slices of time) and on the picture shrunk to
16 by 16. Where they do better than the commoner label, the sampler leaks, and a model would learn the leak instead.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import PairError
from ..galleries.gallery import ViewBatch
from ..moments.order import Ints
from .negatives import KINDS, MATCH, OTHER_VIDEO
from .pairs import PairBatch

_BANDS, _SLICES, _SIDE = 32, 8, 16
SIGNIFICANCE = 1e-3
"""Chance that a sampler without leakage is taken for one with some, for each classifier."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How well one side alone told matching pairs from others."""

    side: str
    accuracy: float
    chance: float
    """Share of the commoner label among the pairs that were judged."""
    interval: float
    """Half of the 95 % interval of the accuracy."""
    p_value: float
    """Chance of such an accuracy, or a better one, where nothing leaks (one-sided binomial)."""

    @property
    def leaks(self) -> bool:
        """Return whether that is too good to be chance."""
        return self.p_value < SIGNIFICANCE


@dataclass(frozen=True, slots=True)
class Leakage:
    """What was found in how many pairs."""

    pairs: int
    kinds: dict[str, int]
    attempts: tuple[Attempt, ...]

    @property
    def leaks(self) -> bool:
        """Return whether either side leaks."""
        return any(attempt.leaks for attempt in self.attempts)


def find_leakage(batches: Iterable[PairBatch]) -> Leakage:
    """Train and judge both classifiers on the pairs of some batches.

    Raises:
        PairError: when there is one label only, or fewer than 100 pairs.
    """
    rows = [
        (sound_features(batch.audio.numpy()), picture_features(batch.frames.numpy()), batch.kinds.numpy())
        for batch in batches
    ]
    return _judge(*map(np.concatenate, zip(*rows, strict=True)))


class LeakageProbe:
    """What the classifiers need of some views of a gallery, gathered while its batches pass.

    Args:
        views: numbers of the views.
    """

    def __init__(self, views: Ints) -> None:
        self._places = {number: place for place, number in enumerate(np.unique(views).tolist())}
        self._sounds: list[NDArray[np.float32]] = []
        self._pictures: list[NDArray[np.float32]] = []

    def of(self, batches: Iterable[ViewBatch]) -> Iterator[ViewBatch]:
        """Yield the batches of a gallery, all of them and in its order."""
        first = 0
        for batch in batches:
            rows = [row for row in range(len(batch.clips)) if first + row in self._places]
            first += len(batch.clips)
            if rows:
                self._sounds.append(sound_features(batch.audio[rows].numpy()).astype(np.float32))
                self._pictures.append(picture_features(batch.frames[rows].numpy()).astype(np.float32))
            yield batch

    def find_leakage(self, frames: Ints, sounds: Ints) -> Leakage:
        """Look for leakage in negative pairs and their positive ones: view numbers (M,) of frames and of sounds.

        Raises:
            PairError: when there are fewer than 50 of each.
        """
        own, other = ([self._places[number] for number in numbers.tolist()] for numbers in (frames, sounds))
        order = np.stack([own, other], axis=1).ravel()  # the two pairs of a frame stay on one side of the middle
        kinds = np.tile(np.array([MATCH, OTHER_VIDEO]), len(own))
        pictures = np.concatenate(self._pictures)[np.repeat(own, 2)]
        return _judge(np.concatenate(self._sounds)[order], pictures, kinds)


def _judge(sounds: NDArray[np.floating], pictures: NDArray[np.floating], kinds: NDArray[np.integer]) -> Leakage:
    labels = kinds == MATCH
    half = len(labels) // 2
    if len(labels) < 100 or len(set(labels[:half].tolist())) < 2 or len(set(labels[half:].tolist())) < 2:
        raise PairError(f"{len(labels)} pairs, {int(labels.sum())} of them matching, are too few to find leakage in")
    return Leakage(
        pairs=len(labels),
        kinds={name: int((kinds == number).sum()) for name, number in KINDS.items()},
        attempts=(_attempt("sound", sounds, labels), _attempt("picture", pictures, labels)),
    )


def describe(leakage: Leakage) -> str:
    """Return the findings as lines of text."""
    kinds = ", ".join(f"{name} {count}" for name, count in leakage.kinds.items())
    lines = [f"{leakage.pairs} pairs: {kinds}"]
    for attempt in leakage.attempts:
        verdict = "LEAKS" if attempt.leaks else "at chance"
        lines.append(
            f"{attempt.side:8} alone: {100 * attempt.accuracy:.2f} % +- {100 * attempt.interval:.2f}, "
            f"chance {100 * attempt.chance:.2f} %, p {attempt.p_value:.2g}: {verdict}"
        )
    return "\n".join(lines)


def sound_features(audio: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return log energies (B, 256) of int16 windows (B, N)."""
    slices = audio[:, : audio.shape[1] // _SLICES * _SLICES].reshape(len(audio), _SLICES, -1)
    spectrum = np.abs(np.fft.rfft(slices / 32768)) ** 2
    edges = np.unique(np.geomspace(1, spectrum.shape[2] - 1, _BANDS + 1).astype(int))
    bands = np.add.reduceat(spectrum, edges[:-1], axis=2)
    return np.log10(bands + 1e-10).reshape(len(audio), -1)


def picture_features(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return frames (B, S, S, 3) shrunk to (B, 768), in [0, 1]."""
    step = max(1, frames.shape[1] // _SIDE)
    rows = np.arange(0, frames.shape[1] - step + 1, step)
    small = np.add.reduceat(np.add.reduceat(frames.astype(np.float64), rows, axis=1), rows, axis=2)
    shrunk: NDArray[np.float64] = (small / (255 * step * step)).reshape(len(frames), -1)
    return shrunk


def _attempt(side: str, features: NDArray[np.floating], labels: NDArray[np.bool_]) -> Attempt:
    from scipy.stats import binom
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = len(labels) // 2
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    classifier.fit(features[:half], labels[:half])
    right = int((classifier.predict(features[half:]) == labels[half:]).sum())
    count, positives = len(labels) - half, int(labels[half:].sum())
    chance, accuracy = max(positives, count - positives) / count, right / count
    interval = 1.96 * math.sqrt(accuracy * (1 - accuracy) / count)
    return Attempt(side, accuracy, chance, interval, float(binom.sf(right - 1, count, chance)))
