"""Choose what the report shows beside figures: retrieved clips, the surest mistakes, maps of where the sound is."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..embedding.embed import Embeddings
from .avc import ScoredPairs
from .pairing import Pairs
from .retrieval import DIRECTIONS, modalities, nearest
from .scorer import Locator, PairScorer

EXAMPLE_QUERIES = 4
EXAMPLE_RESULTS = 5
MISTAKES = 6
"""Of each kind that are shown."""
HEAT_MAPS = 8

View = tuple[int, float]
"""A moment: (clip index, seconds from the start of the clip)."""


class ClipRecord(Protocol):
    """What is known of a clip: a unique key, its source video, and its label ("" if unknown)."""

    @property
    def key(self) -> str: ...
    @property
    def video(self) -> str: ...
    @property
    def label(self) -> str: ...


class Shown:
    """Numbers views in the order in which they are asked for."""

    def __init__(self, clips: Sequence[ClipRecord]) -> None:
        self._clips = clips
        self._numbers: dict[View, int] = {}

    @property
    def views(self) -> list[View]:
        """The views, in the positions that their items name as "media"."""
        return list(self._numbers)

    def item(self, embeddings: Embeddings, row: int) -> dict[str, Any]:
        """Describe the view of a row for JSON, with its position in `views`."""
        view = (int(embeddings.clips[row]), float(embeddings.times[row]))
        return self.describe(embeddings, row) | {"media": self._numbers.setdefault(view, len(self._numbers))}

    def describe(self, embeddings: Embeddings, row: int) -> dict[str, Any]:
        """Describe a view that has no picture and no sound: clip, key, label, seconds."""
        clip = int(embeddings.clips[row])
        record = self._clips[clip]
        return {"clip": clip, "key": record.key, "label": record.label, "seconds": float(embeddings.times[row])}


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


def mistakes(
    scored: ScoredPairs, embeddings: Embeddings, clips: Sequence[ClipRecord], scorer: PairScorer, shown: Shown
) -> dict[str, Any]:
    """Choose the surest mistakes among pairs, and return what goes into mistakes.json.

    A false alarm is a negative pair that the model calls a match, a miss a positive pair that it does not. As two
    videos of a label may well sound alike, false alarms of two labels are listed once more. A source video's frame is
    shown once in each list.

    Returns:
        {"false_alarms": {"count", "pairs", "rows": [{"frame", "sound", "probability", "same_label"}, ...]},
        "of_two_labels": the same, "misses": the same}.
    """
    pairs = scored.pairs
    labels = np.array([clip.label for clip in clips])[embeddings.clips]
    one, other = labels[pairs.frames], labels[pairs.sounds]
    apart = (one != "") & (other != "") & (one != other)
    found: dict[str, Any] = {}
    for name, logits, sounds, counted in (
        ("false_alarms", scorer.bias - scorer.slope * scored.negative, pairs.sounds, np.ones(len(apart), bool)),
        ("of_two_labels", scorer.bias - scorer.slope * scored.negative, pairs.sounds, apart),
        ("misses", scorer.bias - scorer.slope * scored.positive, pairs.frames, np.ones(len(apart), bool)),
    ):
        wrong = np.flatnonzero(counted & ((logits > 0) != (name == "misses")))
        order = wrong[np.argsort(-np.abs(logits[wrong]), kind="stable")]
        rows, seen = list[dict[str, Any]](), set[str]()
        for pair in order.tolist():
            frame, sound = int(pairs.frames[pair]), int(sounds[pair])
            video = clips[embeddings.clips[frame]].video
            if video in seen:
                continue
            if len(rows) == MISTAKES:
                break
            seen.add(video)
            rows.append(
                {
                    "frame": shown.item(embeddings, frame),
                    "sound": shown.item(embeddings, sound),
                    "probability": round(float(np.exp(-np.logaddexp(0.0, -logits[pair]))), 6),
                    "same_label": bool(labels[frame] == labels[sound]) if labels[frame] and labels[sound] else None,
                }
            )
        found[name] = {"count": len(wrong), "pairs": int(counted.sum()), "rows": rows}
    return found


def heat_maps(
    embeddings: Embeddings, negatives: Pairs, scorer: Locator, seed: int, shown: Shown
) -> list[dict[str, Any]]:
    """Draw negatives of another video, and say where in the frame its own and the other sound are.

    Returns:
        What goes into heat_maps.json: [{"frame", "own", "other": {"sound", "places", "probability"}}, ...], where
        "own" has no sound, as it is the frame's; places: H' rows of W' probabilities from the top left of the centre
        crop; probability: the largest of them, by which the model decides.
    """
    rows = np.random.default_rng([seed, 5]).permutation(len(negatives.frames))[:HEAT_MAPS]
    image, audio = embeddings.head_inputs
    frames, sounds = negatives.frames[rows], negatives.sounds[rows]
    own, other = scorer.heat_maps(image[frames], audio[frames]), scorer.heat_maps(image[frames], audio[sounds])

    def described(places: np.ndarray) -> dict[str, Any]:
        return {"places": places.round(3).tolist(), "probability": round(float(places.max()), 4)}

    return [
        {
            "frame": shown.item(embeddings, frame),
            "own": described(own[row]),
            "other": {"sound": shown.item(embeddings, sound), **described(other[row])},
        }
        for row, (frame, sound) in enumerate(zip(frames.tolist(), sounds.tolist(), strict=True))
    ]
