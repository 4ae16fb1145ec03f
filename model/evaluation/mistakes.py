"""Mistakes that a model is surest of: pairs that it takes for what they are not, with the highest probability."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..embedding.embed import Embeddings
from .avc import PairScorer, ScoredPairs
from .shown import ClipRecord, Shown

MISTAKES = 6
"""Of each kind that are shown."""


def mistakes(
    scored: ScoredPairs,
    embeddings: Embeddings,
    clips: Sequence[ClipRecord],
    scorer: PairScorer,
    shown: Shown,
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
