"""Scores of rankings, query by query, and what a random ranking would score.

A ranking is a row of gains in the order of the gallery; a gain above 0 is relevant. Every item counts at
its own rank: equal distances are put in order before, so no rank is taken twice.
"""

import numpy as np

RECALL_DEPTHS = (1, 5, 10)
PRECISION_DEPTHS = (5, 10)


def scores(ranked: np.ndarray) -> dict[str, np.ndarray]:
    """Score rankings by relevance: gains (Q, G) in ranked order -> {figure: float64 (Q,)}.

    recall_at_k: whether any of the first k is relevant (a hit rate). precision_at_k: the share of relevant ones among
    the first k. mrr: 1 / rank of the first. map: mean over the relevant ones of the precision at their rank.
    first_rank: rank of the first. Queries without a relevant item score 0, first_rank infinity.
    """
    hits = ranked > 0
    queries, ranks = np.nonzero(hits)
    relevant = hits.sum(axis=1)
    order = np.arange(len(queries)) - (np.cumsum(relevant) - relevant)[queries]  # how many were found before
    precision = np.bincount(queries, (order + 1) / (ranks + 1.0), len(ranked))
    found = relevant > 0
    first = np.where(found, hits.argmax(axis=1) + 1.0, np.inf)
    figures = {f"recall_at_{k}": (first <= k).astype(np.float64) for k in RECALL_DEPTHS}
    figures |= {f"precision_at_{k}": hits[:, :k].sum(axis=1) / k for k in PRECISION_DEPTHS}
    figures |= {"mrr": 1.0 / first, "map": precision / np.maximum(relevant, 1), "first_rank": first}
    return figures


def ndcg(ranked: np.ndarray, gallery: np.ndarray, eligible: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nDCG at `depth` (Jarvelin and Kekalainen 2002), (Q,), and what a random ranking is expected to have (Q,).

    The ideal ranking is made from the whole gallery, not from the retrieved list. ranked: (Q, G) gains in ranked
    order, at least the first `depth`. gallery: (Q, N) the gains of the whole gallery in any order; what was taken out
    of it has gain 0, and eligible (Q,) is how many are left. Queries without anything to gain have 0.
    """
    weights = 1.0 / np.log2(np.arange(2, depth + 2))
    width = min(depth, gallery.shape[1])
    best = -np.sort(np.partition(-gallery, width - 1, axis=1)[:, :width], axis=1)
    ideal = best @ weights[:width]
    reached = ranked[:, :depth] @ weights[: ranked[:, :depth].shape[1]]
    # In a random ranking each of the `eligible` ranks is expected to hold the mean gain.
    share = np.append(0.0, np.cumsum(weights))[np.minimum(eligible, depth)] / np.maximum(eligible, 1)
    usable = np.maximum(ideal, np.finfo(float).tiny)
    return reached / usable, gallery.sum(axis=1) * share / usable


def chance_of_scores(relevant: np.ndarray, eligible: np.ndarray) -> dict[str, np.ndarray]:
    """Return what `scores` expects of a random ranking; relevant, eligible: int (Q,), items and those of use.

    first_rank is the median of the ranks over all queries and rankings, the same for each query.
    """
    pairs, inverse = np.unique(np.stack([relevant, eligible], axis=1), axis=0, return_inverse=True)
    inverse = inverse.ravel()
    longest = int(eligible.max())
    names = [*(f"recall_at_{k}" for k in RECALL_DEPTHS), *(f"precision_at_{k}" for k in PRECISION_DEPTHS)]
    figures = {name: np.zeros(len(pairs)) for name in ("mrr", "map", *names)}
    later = np.zeros(longest + 1)  # share of queries and rankings whose first relevant item has a rank over k
    weights = np.bincount(inverse) / len(inverse)
    for row, (useful, count) in enumerate(pairs.tolist()):
        ranks = np.arange(1, count + 1)
        missed = np.cumprod(np.clip(count - useful - ranks + 1, 0, None) / (count - ranks + 1.0))
        later[0] += weights[row]
        later[1 : count + 1] += weights[row] * missed
        first = np.append(1.0, missed[:-1]) - missed  # P(the first relevant item is at this rank)
        harmonic = (1.0 / ranks).sum()
        figures["mrr"][row] = (first / ranks).sum()
        figures["map"][row] = (harmonic + (count - harmonic) * (useful - 1) / max(count - 1, 1)) / count
        for k in RECALL_DEPTHS:
            figures[f"recall_at_{k}"][row] = 1.0 - missed[min(k, count) - 1]
        for k in PRECISION_DEPTHS:
            figures[f"precision_at_{k}"][row] = useful / count * min(k, count) / k
    middle = float(np.argmax(later <= 0.5))
    return {name: values[inverse] for name, values in figures.items()} | {"first_rank": np.full(len(inverse), middle)}
