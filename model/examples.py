"""Choose what the report shows: queries drawn at random, and the nearest clips to each, as in Figure 2 of the paper."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .embed import Embeddings
from .retrieval import DIRECTIONS, modalities, nearest

EXAMPLE_QUERIES = 4
EXAMPLE_RESULTS = 5


class ClipRecord(Protocol):
    """What is known of a clip: a unique key, its source video, and its label ("" if unknown)."""

    @property
    def key(self) -> str: ...
    @property
    def video(self) -> str: ...
    @property
    def label(self) -> str: ...


View = tuple[int, float]
"""A moment: (clip index, seconds from the start of the clip)."""


def examples(
    chosen: Embeddings, clips: Sequence[ClipRecord], videos: np.ndarray, seed: int
) -> tuple[dict[str, Any], list[View]]:
    """Draw queries for each direction, find their nearest clips, and name the views that show them.

    chosen: one row a clip. videos: source videos of the rows. Returns what goes into examples.json, whose items name
    their "media" as a place in the list of views, and that list.
    """
    generator = np.random.default_rng(seed)
    vectors = {"image": chosen.image, "audio": chosen.audio}
    wanted: dict[View, int] = {}
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
                    "query": _item(chosen, clips, query, wanted),
                    "results": [
                        _item(chosen, clips, result, wanted)
                        | {"distance": round(float(gap), 4)}
                        | _relation(clips[chosen.clips[query]], clips[chosen.clips[result]])
                        for result, gap in zip(results, gaps, strict=True)
                    ],
                }
            )
        directions.append({"direction": direction, "query": query_kind, "result": result_kind, "rows": rows})
    return {"seed": seed, "directions": directions}, list(wanted)


def _item(chosen: Embeddings, clips: Sequence[ClipRecord], row: int, wanted: dict[View, int]) -> dict[str, Any]:
    index, seconds = int(chosen.clips[row]), float(chosen.times[row])
    media = wanted.setdefault((index, seconds), len(wanted))
    clip = clips[index]
    return {"clip": index, "key": clip.key, "label": clip.label, "seconds": seconds, "media": media}


def _relation(query: ClipRecord, result: ClipRecord) -> dict[str, bool | None]:
    """Compare two clips; same_label is None where a label is unknown."""
    known = bool(query.label and result.label)
    return {"same_label": query.label == result.label if known else None, "same_clip": query.key == result.key}
