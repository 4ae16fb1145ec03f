"""Choose what the report shows: queries drawn at random, and the nearest clips to each, as in Figure 2 of the paper."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..embedding.embed import Embeddings
from .retrieval import DIRECTIONS, modalities, nearest
from .shown import ClipRecord, Shown

EXAMPLE_QUERIES = 4
EXAMPLE_RESULTS = 5


def examples(
    chosen: Embeddings, clips: Sequence[ClipRecord], videos: np.ndarray, seed: int, shown: Shown
) -> dict[str, Any]:
    """Draw queries for each direction, find their nearest clips, and return what goes into examples.json.

    chosen: one row a clip, of videos (N,).
    """
    generator = np.random.default_rng(seed)
    vectors = {"image": chosen.image, "audio": chosen.audio}
    directions = []
    for direction in DIRECTIONS:
        query_kind, result_kind = modalities(direction)
        queries = generator.permutation(len(chosen))[:EXAMPLE_QUERIES]
        excluded = (videos[queries], videos) if query_kind == result_kind else None
        found = nearest(vectors[query_kind][queries], vectors[result_kind], EXAMPLE_RESULTS, seed, excluded)
        rows = []
        for query, ranking in zip(queries, found, strict=True):
            results = ranking[ranking >= 0]
            gaps = np.linalg.norm(vectors[query_kind][query] - vectors[result_kind][results], axis=1)
            rows.append(
                {
                    "query": shown.item(chosen, query),
                    "results": [
                        shown.item(chosen, result)
                        | {"distance": round(float(gap), 4)}
                        | _relation(clips[chosen.clips[query]], clips[chosen.clips[result]])
                        for result, gap in zip(results, gaps, strict=True)
                    ],
                }
            )
        directions.append({"direction": direction, "query": query_kind, "result": result_kind, "rows": rows})
    return {"seed": seed, "directions": directions}


def _relation(query: ClipRecord, result: ClipRecord) -> dict[str, bool | None]:
    """Compare two clips; same_label is None where a label is unknown."""
    known = bool(query.label and result.label)
    return {"same_label": query.label == result.label if known else None, "same_clip": query.key == result.key}
