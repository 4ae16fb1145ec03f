"""95 % intervals by resampling source videos, whole: items of one video are no independent evidence."""

from collections.abc import Callable, Mapping

import numpy as np

LEVELS = (0.025, 0.975)
_CHUNK_ELEMENTS = 1 << 22

Measure = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Figures from weights float64 (B, M) of M items, B resamplings at once: {name: (B,)}."""


def intervals(measure: Measure, owners: np.ndarray, bootstrap: int, seed: int) -> dict[str, list[float]]:
    """Return the 95 % percentile interval [low, high] of every figure.

    owners: (M,) the source video of each item. Each resampling draws as many videos as there are, with replacement; the
    weight of an item is how often its video was drawn. A figure that a resampling does not have is NaN there, and that
    resampling is left out of its interval.
    """
    names, places = np.unique(owners, return_inverse=True)
    count = len(names)
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK_ELEMENTS // max(count, len(owners)))
    parts = []
    for start in range(0, bootstrap, step):
        size = min(step, bootstrap - start)
        drawn = generator.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        parts.append(measure(times[:, places].astype(np.float64)))
    figures = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: [float(bound) for bound in np.nanquantile(values, LEVELS)] for name, values in figures.items()}


def weighted_mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the means (B, ...) of values (M, ...) under weights (B, M)."""
    total = weights.sum(axis=1)
    means: np.ndarray = (weights @ values) / (total if values.ndim == 1 else total[:, None])
    return means


def weighted_median(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the lower medians (B,) of values (M,) under weights (B, M)."""
    order = np.argsort(values, kind="stable")
    passed = np.cumsum(weights[:, order], axis=1)
    medians: np.ndarray = values[order][np.argmax(passed >= passed[:, -1:] / 2, axis=1)]
    return medians
