"""Project embeddings of a few classes to the plane by t-SNE, as in Figure 3 of the paper, or by UMAP."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..embedding.embed import Embeddings
from ..errors import EvaluationError
from .examples import Shown

FEWEST_POINTS = 5
FEWEST_CLIPS = 5  # of a class, for it to be drawn while there are such classes
MOST_CLIPS = 100  # of a class that are shown
MOST_MEDIA = 500  # points that have a picture and a sound, or the page would be too large
MOST_EXACT = 1000  # points up to which the exact gradient is the faster one
NEIGHBOURS = 15  # of UMAP, its default
Method = Literal["tsne", "umap"]


def project(
    chosen: Embeddings, labels: np.ndarray, classes: int, method: Method, seed: int, shown: Shown
) -> dict[str, Any] | None:
    """Project clips of up to `classes` classes, drawn at random by the seed.

    Labels choose and colour the points; the projection itself does not see them. Up to MOST_MEDIA points have a
    picture and a sound, as many of each class as can be.

    Args:
        chosen: one row a clip.
        labels: str (N,) of its rows, "" if unknown.

    Returns:
        {"method", "settings": in words, "classes": names, "labels": index into classes per point, "image": [[x, y],
        ...], "audio": [[x, y], ...], "items": what each point is, without "media" where it has no picture}, points
        scaled into [-1, 1], or None when fewer than five labelled clips are there.

    Raises:
        EvaluationError: when the package that it needs is not installed.
    """
    generator = np.random.default_rng(seed)
    names, sizes = np.unique(labels[labels != ""], return_counts=True)
    candidates = names[sizes >= FEWEST_CLIPS] if (sizes >= FEWEST_CLIPS).any() else names
    drawn_names = np.sort(generator.permutation(candidates)[:classes])
    drawn = [generator.permutation(np.flatnonzero(labels == name))[:MOST_CLIPS] for name in drawn_names]
    if sum(map(len, drawn)) < FEWEST_POINTS:
        return None
    rows = np.concatenate(drawn)
    fit, settings = (_umap if method == "umap" else _tsne)(len(rows), seed)
    rank = np.concatenate([np.arange(len(part)) for part in drawn])  # the first of each class, then the second
    pictured = np.zeros(len(rows), bool)
    pictured[np.argsort(rank, kind="stable")[:MOST_MEDIA]] = True
    items = [
        shown.item(chosen, row) if has_media else shown.describe(chosen, row)
        for row, has_media in zip(rows.tolist(), pictured.tolist(), strict=True)
    ]
    return {
        "method": method,
        "settings": settings,
        "classes": drawn_names.tolist(),
        "labels": np.searchsorted(drawn_names, labels[rows]).tolist(),
        "image": _scaled(fit(chosen.image[rows].astype(np.float64))),
        "audio": _scaled(fit(chosen.audio[rows].astype(np.float64))),
        "items": items,
        "seed": seed,
    }


Fit = Callable[[np.ndarray], np.ndarray]


def _tsne(count: int, seed: int) -> tuple[Fit, str]:
    from sklearn.manifold import TSNE  # seconds to import, and only needed here

    perplexity = min(30.0, (count - 1) / 3)
    exact = count <= MOST_EXACT
    # Random start: a principal-component start divides by zero when all embeddings are equal (a collapsed model).
    tsne = TSNE(2, perplexity=perplexity, init="random", random_state=seed, method="exact" if exact else "barnes_hut")
    return tsne.fit_transform, f"t-SNE, perplexity {perplexity:.3g}"


def _umap(count: int, seed: int) -> tuple[Fit, str]:
    try:
        from umap import UMAP
    except ImportError as error:
        raise EvaluationError(
            "eval.projection: umap needs the package umap-learn; pip install 'avcorr[umap]', or set it to tsne"
        ) from error
    neighbours = min(NEIGHBOURS, count - 1)
    # As with t-SNE a random start; one thread, since only that repeats to the digit.
    umap = UMAP(n_neighbors=neighbours, metric="cosine", init="random", random_state=seed, n_jobs=1)
    return umap.fit_transform, f"UMAP, {neighbours} neighbours by cosine"


def _scaled(points: np.ndarray) -> list[list[float]]:
    points = points.astype(np.float64) - points.mean(axis=0)
    scaled: list[list[float]] = np.round(points / max(np.abs(points).max(), 1e-12), 4).tolist()
    return scaled
