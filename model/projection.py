"""Project embeddings of a few classes to the plane by t-SNE, as in Figure 3 of the paper."""

from typing import Any

import numpy as np

FEWEST_POINTS = 5
FEWEST_CLIPS = 5  # of a class, for it to be drawn while there are such classes
MOST_CLIPS = 100  # of a class that are shown
MOST_EXACT = 1000  # points up to which the exact gradient is the faster one


def project(
    image: np.ndarray, audio: np.ndarray, labels: np.ndarray, clips: np.ndarray, classes: int, seed: int
) -> dict[str, Any] | None:
    """Project clips of up to `classes` classes, drawn at random by the seed.

    image, audio: (N, D). labels: str (N,), "" if unknown. clips: (N,) clip indices, returned with the points.
    Returns {"classes": names, "labels": index into classes per point, "clips": clip index per point, "image": [[x, y],
    ...], "audio": [[x, y], ...], "perplexity": float}, points scaled into [-1, 1], or None when fewer than five
    labelled clips are there. Labels choose and colour the points; the projection itself does not see them.
    """
    generator = np.random.default_rng(seed)
    names, sizes = np.unique(labels[labels != ""], return_counts=True)
    candidates = names[sizes >= FEWEST_CLIPS] if (sizes >= FEWEST_CLIPS).any() else names
    chosen = np.sort(generator.permutation(candidates)[:classes])
    drawn = [generator.permutation(np.flatnonzero(labels == name))[:MOST_CLIPS] for name in chosen]
    if sum(map(len, drawn)) < FEWEST_POINTS:
        return None
    rows = np.concatenate(drawn)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    return {
        "classes": chosen.tolist(),
        "labels": np.searchsorted(chosen, labels[rows]).tolist(),
        "clips": clips[rows].tolist(),
        "image": _tsne(image[rows], perplexity, seed),
        "audio": _tsne(audio[rows], perplexity, seed),
        "perplexity": perplexity,
        "seed": seed,
    }


def _tsne(vectors: np.ndarray, perplexity: float, seed: int) -> list[list[float]]:
    from sklearn.manifold import TSNE  # seconds to import, and only needed here

    # Random start: a principal-component start divides by zero when all embeddings are equal (a collapsed model).
    method = "exact" if len(vectors) <= MOST_EXACT else "barnes_hut"
    tsne = TSNE(2, perplexity=perplexity, init="random", random_state=seed, method=method)
    points = tsne.fit_transform(vectors.astype(np.float64))
    points = points - points.mean(axis=0)
    scaled: list[list[float]] = np.round(points / max(np.abs(points).max(), 1e-12), 4).tolist()
    return scaled
