"""Retrieval within and across modalities: recall at k and nDCG, each with its value at chance.

Pure numpy, in chunks of queries: 15,000 clips need some 150 MB. Every clip gives one image and one audio embedding and
is a query once per direction.

Protocol:
- Across modalities the gallery is every clip, the query's own clip included; within a modality the query itself and all
  other clips of its source video are taken out.
- `recall_at_k` is the share of queries with a clip of their own label among the first k (a hit rate); `ndcg_at_30` has
  gain 1 for a clip of the same label and 0 otherwise, discount 1 / log2(rank + 1), and its ideal ranking is made from
  the whole gallery, not from the retrieved list (Jarvelin and Kekalainen 2002).
- Label metrics leave out clips without a label, as queries and in the gallery, and queries whose gallery holds no
  other clip of their label.
- `instance_recall_at_k` and `median_rank` ask for the query's own clip, and exist across modalities only.
- Equal distances are ordered by a seeded shuffle of the gallery, once and for all: no item counts twice, a collapsed
  model scores at chance, and the order of files on disk earns nothing.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

DIRECTIONS = ("image_to_image", "image_to_audio", "audio_to_image", "audio_to_audio")
RECALL_DEPTHS = (1, 5, 10)
EXCLUDED = np.uint64(2**64 - 1)
_CHUNK_ELEMENTS = 1 << 22


def modalities(direction: str) -> tuple[str, str]:
    """Split "image_to_audio" into ("image", "audio"): what is asked with, and what is looked for."""
    query, _, gallery = direction.partition("_to_")
    return query, gallery


def retrieval(
    image: np.ndarray, audio: np.ndarray, labels: np.ndarray, videos: np.ndarray, depth: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Measure the four directions on N clips.

    image, audio: float32 (N, D). labels: str (N,), "" if unknown. videos: (N,) source video ids. depth: k of nDCG.
    Returns {direction: {metric: value, ..., "gallery": int, "label_queries": int, "chance": {metric: value}}};
    the label metrics are absent where no query has a clip of its label to find.
    """
    vectors = {"image": image, "audio": audio}
    labelled = np.flatnonzero(labels != "")
    results: dict[str, dict[str, Any]] = {}
    for direction in DIRECTIONS:
        query, gallery = modalities(direction)
        across = query != gallery
        row: dict[str, Any] = {"gallery": len(image), "label_queries": 0, "chance": {}}
        if len(labelled):
            own = None if across else videos[labelled]
            found = nearest(
                vectors[query][labelled],
                vectors[gallery][labelled],
                max(depth, *RECALL_DEPTHS),
                seed,
                None if own is None else (own, own),
            )
            _merge(row, label_metrics(found, labels[labelled], own, depth))
        if across:
            _merge(row, instance_metrics(own_ranks(vectors[query], vectors[gallery], seed)))
        results[direction] = row
    return results


def nearest(
    queries: np.ndarray, gallery: np.ndarray, depth: int, seed: int, videos: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Rank the gallery for every query: (Q, D), (N, D) -> int64 (Q, min(depth, N)), nearest first.

    `videos` holds the source videos of the queries (Q,) and of the gallery (N,): a query's own video is then taken out
    of its gallery, and where fewer than `depth` items are left the row ends in -1.
    """
    depth = min(depth, len(gallery))
    order = _tie_order(len(gallery), seed)
    found = np.empty((len(queries), depth), np.int64)
    for rows, keys in _chunks(queries, gallery[order]):
        if videos is not None:
            keys[videos[0][rows][:, None] == videos[1][order][None, :]] = EXCLUDED
        first = np.sort(np.partition(keys, depth - 1, axis=1)[:, :depth], axis=1)
        places = np.where(first == EXCLUDED, 0, first & np.uint64(0xFFFFFFFF)).astype(np.int64)
        found[rows] = np.where(first == EXCLUDED, -1, order[places])
    return found


def own_ranks(queries: np.ndarray, gallery: np.ndarray, seed: int) -> np.ndarray:
    """Give the rank, from 1, of gallery item i for query i: (N, D), (N, D) -> int64 (N,)."""
    order = _tie_order(len(gallery), seed)
    places = np.argsort(order)
    ranks = np.empty(len(queries), np.int64)
    for rows, keys in _chunks(queries, gallery[order]):
        own = np.take_along_axis(keys, places[rows][:, None], axis=1)
        ranks[rows] = 1 + np.count_nonzero(keys < own, axis=1)
    return ranks


def label_metrics(found: np.ndarray, labels: np.ndarray, videos: np.ndarray | None, depth: int) -> dict[str, Any]:
    """Score rankings by label: recall at 1, 5 and 10 and nDCG at `depth`, with chance.

    found: (N, K) of `nearest`, K >= min(depth, N). labels: (N,), none of them empty.
    videos: (N,) source videos if `nearest` took the query's own out, else None.
    """
    relevant, eligible = _gallery_counts(labels, videos)
    kept = relevant > 0
    if not kept.any():
        return {"label_queries": 0, "chance": {}}
    relevant, eligible = relevant[kept], eligible[kept]
    hits = ((labels[found] == labels[:, None]) & (found >= 0))[kept]
    metrics: dict[str, Any] = {"label_queries": int(kept.sum()), "chance": {}}
    for k in RECALL_DEPTHS:
        metrics[f"recall_at_{k}"] = float(hits[:, :k].any(axis=1).mean())
        metrics["chance"][f"recall_at_{k}"] = float(_random_hit_rate(relevant, eligible, k).mean())
    discounts = 1.0 / np.log2(np.arange(2, depth + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    best = ideal[np.minimum(relevant, depth)]
    seen = hits[:, :depth]
    metrics[f"ndcg_at_{depth}"] = float((seen @ discounts[: seen.shape[1]] / best).mean())
    # In a random ranking each of the `eligible` ranks holds a relevant item with probability relevant / eligible.
    expected = relevant / eligible * ideal[np.minimum(eligible, depth)]
    metrics["chance"][f"ndcg_at_{depth}"] = float((expected / best).mean())
    return metrics


def instance_metrics(ranks: np.ndarray) -> dict[str, Any]:
    """Score the ranks (N,) of the queries' own clips in a gallery of N, with chance."""
    count = len(ranks)
    metrics: dict[str, Any] = {"chance": {}}
    for k in RECALL_DEPTHS:
        metrics[f"instance_recall_at_{k}"] = float((ranks <= k).mean())
        metrics["chance"][f"instance_recall_at_{k}"] = min(1.0, k / count)
    metrics["median_rank"] = float(np.median(ranks))
    metrics["chance"]["median_rank"] = (count + 1) / 2
    return metrics


def _merge(row: dict[str, Any], metrics: dict[str, Any]) -> None:
    row["chance"] |= metrics.pop("chance")
    row |= metrics


def _tie_order(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)


def _chunks(queries: np.ndarray, gallery: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, keys): uint64 keys (rows, N) whose order is by distance, then by place in the gallery.

    The bits of non-negative floats sort like the floats, so distance (upper half) and place (lower half) make one
    integer; all keys of a row differ.
    """
    queries, gallery = queries.astype(np.float32), gallery.astype(np.float32)
    lengths = np.square(gallery).sum(axis=1)
    places = np.arange(len(gallery), dtype=np.uint64)
    step = max(1, _CHUNK_ELEMENTS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        squared = lengths - 2.0 * (queries[rows] @ gallery.T) + np.square(queries[rows]).sum(axis=1, keepdims=True)
        squared = np.maximum(squared, 0.0).astype(np.float32) + np.float32(0.0)  # -0.0 would sort last
        yield rows, (squared.view(np.uint32).astype(np.uint64) << np.uint64(32)) | places


def _gallery_counts(labels: np.ndarray, videos: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Count for every query the clips of its label in its gallery, and all clips of its gallery: two int64 (N,)."""
    _, label_ids, label_sizes = np.unique(labels, return_inverse=True, return_counts=True)
    relevant = label_sizes[label_ids]
    eligible = np.full(len(labels), len(labels))
    if videos is None:
        return relevant, eligible
    _, video_ids, video_sizes = np.unique(videos, return_inverse=True, return_counts=True)
    both = video_ids.astype(np.int64) * len(label_sizes) + label_ids
    _, both_ids, both_sizes = np.unique(both, return_inverse=True, return_counts=True)
    return relevant - both_sizes[both_ids], eligible - video_sizes[video_ids]


def _random_hit_rate(relevant: np.ndarray, eligible: np.ndarray, k: int) -> np.ndarray:
    """Chance of at least one relevant item among k drawn without replacement (hypergeometric)."""
    missed = np.ones(len(relevant))
    for drawn in range(k):
        left = np.maximum(eligible - drawn, 1)
        missed *= np.clip(eligible - relevant - drawn, 0, None) / left
    return 1.0 - missed
