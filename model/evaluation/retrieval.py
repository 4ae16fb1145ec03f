"""Retrieval within and across modalities, each figure with its interval and its value at chance.

Every clip gives one image and one audio embedding and is a query once per direction.

- Across modalities the gallery is every clip, the query's own clip included; within a modality the query itself and all
  other clips of its source video are taken out.
- Relevance and gain are those of `relevance`. Clips whose labels are not known take no part, nor do queries whose
  gallery holds nothing relevant.
- `instance_*` and `median_rank` ask for the query's own clip, and exist across modalities only.
- Equal distances are ordered by a seeded shuffle of the gallery, once and for all: no item counts twice, a collapsed
  model scores at chance, and the order of files on disk earns nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .bootstrap import intervals, weighted_mean, weighted_median
from .ranking import RECALL_DEPTHS, chance_of_scores, ndcg, scores
from .relevance import Relevance

DIRECTIONS = ("image_to_image", "image_to_audio", "audio_to_image", "audio_to_audio")
RANKS = ("first_rank", "median_rank")
"""Figures that are a median of ranks, from 1, and not a share."""
EXCLUDED = np.uint64(2**64 - 1)
_CHUNK_ELEMENTS = 1 << 22


def modalities(direction: str) -> tuple[str, str]:
    """Split "image_to_audio" into ("image", "audio"): what is asked with, and what is looked for."""
    query, _, gallery = direction.partition("_to_")
    return query, gallery


def retrieval(
    image: np.ndarray,
    audio: np.ndarray,
    videos: np.ndarray,
    relevances: Sequence[Relevance],
    depth: int,
    seed: int,
    bootstrap: int,
) -> dict[str, dict[str, Any]]:
    """Measure the four directions on N clips.

    Args:
        image, audio: float32 (N, D), unit vectors.
        videos: (N,) source video ids.
        relevances: the first for all figures, each other for nDCG by its gain.
        depth: k of nDCG.
        seed: of the order of equal distances, and of the bootstrap.

    Returns:
        {direction: {figure: value, ..., "gallery": int, "label_queries": int, "chance": {figure: value},
        "interval": {figure: [low, high]}}}; the figures by relevance are absent where no query has anything to find.
    """
    vectors = {"image": image, "audio": audio}
    results: dict[str, dict[str, Any]] = {}
    for direction in DIRECTIONS:
        query, gallery = modalities(direction)
        row: dict[str, Any] = {"gallery": len(image), "label_queries": 0, "chance": {}, "interval": {}}
        for relevance in relevances:
            found = by_relevance(vectors[query], vectors[gallery], videos, relevance, direction, depth, seed, bootstrap)
            _merge(row, _only_ndcg(found, relevance.name) if relevance.name else found)
        if query != gallery:
            ranks = own_ranks(vectors[query], vectors[gallery], seed)
            _merge(row, instance_metrics(ranks, videos, bootstrap, seed))
        results[direction] = row
    return results


def by_relevance(
    queries: np.ndarray,
    gallery: np.ndarray,
    videos: np.ndarray,
    relevance: Relevance,
    direction: str,
    depth: int,
    seed: int,
    bootstrap: int,
) -> dict[str, Any]:
    """Score the rankings of one direction by a relevance, with chance and intervals.

    queries, gallery: (N, D) embeddings of the same N clips in the two modalities. The rest is as of `retrieval`.
    """
    known, nothing = np.flatnonzero(relevance.known), {"label_queries": 0, "chance": {}, "interval": {}}
    if not len(known):
        return nothing
    within = len(set(modalities(direction))) == 1
    own = videos[known]
    parts: list[dict[str, np.ndarray]] = []
    for rows, order, excluded in _rankings(queries[known], gallery[known], seed, (own, own) if within else None):
        gains = relevance.gains(known[rows], known, direction)
        ranked = np.take_along_axis(gains, order, axis=1)
        ranked[excluded] = 0.0
        if within:
            gains[own[rows][:, None] == own[None, :]] = 0.0
        eligible = (~excluded).sum(axis=1)
        reached, expected = ndcg(ranked, gains, eligible, depth)
        part = scores(ranked) | {f"ndcg_at_{depth}": reached}
        parts.append(part | {"relevant": (gains > 0).sum(axis=1), "eligible": eligible, "expected": expected})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kept = columns["relevant"] > 0
    if not kept.any():
        return nothing
    columns = {name: column[kept] for name, column in columns.items()}
    chance = chance_of_scores(columns.pop("relevant"), columns.pop("eligible"))
    chance[f"ndcg_at_{depth}"] = columns.pop("expected")
    return _summary(columns, chance, own[kept], bootstrap, seed) | {"label_queries": int(kept.sum())}


def instance_metrics(ranks: np.ndarray, videos: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    """Score the ranks (N,) of the queries' own clips in a gallery of N, with chance and intervals."""
    count = len(ranks)
    columns = {f"instance_recall_at_{k}": (ranks <= k).astype(np.float64) for k in RECALL_DEPTHS}
    columns |= {"instance_mrr": 1.0 / ranks, "median_rank": ranks.astype(np.float64)}
    chance = {f"instance_recall_at_{k}": np.array([min(1.0, k / count)]) for k in RECALL_DEPTHS}
    chance |= {"instance_mrr": 1.0 / np.arange(1, count + 1), "median_rank": np.array([(count + 1) / 2])}
    return _summary(columns, chance, videos, bootstrap, seed)


def nearest(
    queries: np.ndarray, gallery: np.ndarray, depth: int, seed: int, videos: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Rank the gallery for every query: (Q, D), (N, D) -> int64 (Q, min(depth, N)), nearest first.

    `videos` holds the source videos of the queries (Q,) and of the gallery (N,): a query's own video is then taken out
    of its gallery, and where fewer than `depth` items are left the row ends in -1.
    """
    found = np.empty((len(queries), min(depth, len(gallery))), np.int64)
    for rows, order, excluded in _rankings(queries, gallery, seed, videos, depth):
        found[rows] = np.where(excluded, -1, order)
    return found


def own_ranks(queries: np.ndarray, gallery: np.ndarray, seed: int) -> np.ndarray:
    """Return the rank, from 1, of gallery item i for query i: (N, D), (N, D) -> int64 (N,)."""
    order = np.random.default_rng(seed).permutation(len(gallery))
    positions = np.argsort(order)
    ranks = np.empty(len(queries), np.int64)
    for rows, keys in _chunks(queries, gallery[order]):
        own = np.take_along_axis(keys, positions[rows][:, None], axis=1)
        ranks[rows] = 1 + np.count_nonzero(keys < own, axis=1)
    return ranks


def _summary(
    columns: dict[str, np.ndarray], chance: dict[str, np.ndarray], videos: np.ndarray, bootstrap: int, seed: int
) -> dict[str, Any]:
    """Return means and medians of columns of queries (Q,), with chance and 95 % intervals."""
    shares = [name for name in columns if name not in RANKS]
    table = np.stack([columns[name] for name in shares], axis=1)

    def measure(weights: np.ndarray) -> dict[str, np.ndarray]:
        figures = dict(zip(shares, weighted_mean(weights, table).T, strict=True))
        return figures | {name: weighted_median(weights, columns[name]) for name in RANKS if name in columns}

    values = {name: float((np.median if name in RANKS else np.mean)(column)) for name, column in columns.items()}
    return values | {
        "chance": {name: float(chance[name].mean()) for name in columns},
        "interval": intervals(measure, videos, bootstrap, seed),
    }


def _only_ndcg(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Keep nDCG alone, under a name that says the gain."""
    kept: dict[str, Any] = {f"{key}_{name}": value for key, value in found.items() if key.startswith("ndcg")}
    for group in ("chance", "interval"):
        kept[group] = {f"{key}_{name}": value for key, value in found[group].items() if key.startswith("ndcg")}
    return kept


def _merge(row: dict[str, Any], metrics: dict[str, Any]) -> None:
    for group in ("chance", "interval"):
        row[group] |= metrics.pop(group)
    row |= metrics


def _rankings(
    queries: np.ndarray,
    gallery: np.ndarray,
    seed: int,
    videos: tuple[np.ndarray, np.ndarray] | None,
    depth: int | None = None,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (rows, order, excluded): int64 and bool (rows, depth or N), nearest first; what is taken out comes last.

    Where `excluded` is true, `order` means nothing.
    """
    shuffled = np.random.default_rng(seed).permutation(len(gallery))
    width = min(depth or len(gallery), len(gallery))
    for rows, keys in _chunks(queries, gallery[shuffled]):
        if videos is not None:
            keys[videos[0][rows][:, None] == videos[1][shuffled][None, :]] = EXCLUDED
        first = np.sort(keys if width == len(gallery) else np.partition(keys, width - 1, axis=1)[:, :width], axis=1)
        excluded = first == EXCLUDED
        order = np.where(excluded, 0, first & np.uint64(0xFFFFFFFF)).astype(np.int64)
        yield rows, shuffled[order], excluded


def _chunks(queries: np.ndarray, gallery: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, keys): uint64 keys (rows, N) whose order is by distance, then by position in the gallery.

    The bits of non-negative floats sort like the floats, so distance (upper half) and position (lower half) make one
    integer; all keys of a row differ.
    """
    queries, gallery = queries.astype(np.float32), gallery.astype(np.float32)
    lengths = np.square(gallery).sum(axis=1)
    positions = np.arange(len(gallery), dtype=np.uint64)
    step = max(1, _CHUNK_ELEMENTS // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        squared = lengths - 2.0 * (queries[rows] @ gallery.T) + np.square(queries[rows]).sum(axis=1, keepdims=True)
        squared = np.maximum(squared, 0.0).astype(np.float32) + np.float32(0.0)  # -0.0 would sort last
        yield rows, (squared.view(np.uint32).astype(np.uint64) << np.uint64(32)) | positions
