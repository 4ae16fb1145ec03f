"""Pairs of the correspondence figures: which sound each frame is set against, by kind of negative.

Every clip gives one positive and one negative pair for each seed: its frame of that seed with its own
sound, and the same frame with another sound. The kinds of negative are apart, as they are of unlike difficulty:

- `other_video`: the sound of another source video, the task of the papers;
- `same_clip`: a sound of the same clip, at least `APART_SECONDS` from the frame;
- `same_class`: the sound of another source video of the same label.

The first and the last are derangements: every frame and every sound occurs once among the positives and once among the
negatives, so neither alone tells the two apart (the shortcut of Arandjelovic and Zisserman 2018, section 3.3, is closed
by construction).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import EvaluationError

KINDS = ("other_video", "same_clip", "same_class")
APART_SECONDS = 2.0


Derange = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From video ids (M,), none over half of them, to a derangement: a permutation int64 (M,) that gives each item the
sound of another video."""


class Pairs(NamedTuple):
    """M negative pairs; the positive pair to each is frame and sound of the same view."""

    frames: np.ndarray
    """int64 (M,), the view whose frame it is."""
    sounds: np.ndarray
    """int64 (M,), the view whose sound it is."""
    clips: np.ndarray
    """int64 (M,), the clip of the frame."""
    seeds: np.ndarray
    """int64 (M,), the seed that drew it."""


def draw_negatives(
    drawn: np.ndarray, times: np.ndarray, videos: np.ndarray, labels: np.ndarray, seed: int, derange: Derange
) -> dict[str, Pairs]:
    """Draw the negative pairs of C clips by S seeds, for each of `KINDS`; a kind may have none.

    drawn: int64 (C, S), the view of each clip that each seed takes. times: float64, seconds of every view in its clip.
    videos, labels: (C,) source video and label of each clip, "" if unknown. The seeds are seed, seed + 1, ...
    Raises EvaluationError if a video owns over half of the clips.
    """
    owners, sizes = np.unique(videos, return_counts=True)
    if not len(videos) or sizes.max() * 2 > len(videos):
        largest = f"video '{owners[sizes.argmax()]}' owns {sizes.max()}" if len(videos) else "there is none"
        raise EvaluationError(
            f"cannot give each of {len(videos)} clips the sound of another video: {largest}; "
            "evaluate on at least two videos, none of which holds more than half of the clips"
        )
    found: dict[str, list[Pairs]] = {kind: [] for kind in KINDS}
    for column, views in enumerate(drawn.T):
        number = seed + column
        chosen = {
            "other_video": views[derange(videos, np.random.default_rng(number))],
            "same_clip": _elsewhere(drawn, times, column, np.random.default_rng([number, 1])),
            "same_class": _of_same_class(views, videos, labels, np.random.default_rng([number, 2]), derange),
        }
        for kind, sounds in chosen.items():
            clips = np.flatnonzero(sounds >= 0)
            found[kind].append(Pairs(views[clips], sounds[clips], clips, np.full(len(clips), number)))
    return {kind: Pairs(*map(np.concatenate, zip(*parts, strict=True))) for kind, parts in found.items()}


def first_negatives(drawn: np.ndarray, videos: np.ndarray, seed: int, derange: Derange) -> Pairs:
    """Return the pairs of another video that the first seed draws, for the C clips in their order."""
    times, labels = np.zeros(int(drawn.max()) + 1), np.full(len(videos), "")
    return draw_negatives(drawn[:, :1], times, videos, labels, seed, derange)["other_video"]


def _elsewhere(drawn: np.ndarray, times: np.ndarray, column: int, generator: np.random.Generator) -> np.ndarray:
    """Choose for each clip one of its views that is far from the view at `column`, or -1 where there is none."""
    far = np.abs(times[drawn] - times[drawn[:, column]][:, None]) >= APART_SECONDS
    best = np.argmax(far * generator.uniform(0.5, 1.0, drawn.shape), axis=1)
    return np.where(far.any(axis=1), np.take_along_axis(drawn, best[:, None], axis=1)[:, 0], -1)


def _of_same_class(
    views: np.ndarray, videos: np.ndarray, labels: np.ndarray, generator: np.random.Generator, derange: Derange
) -> np.ndarray:
    """Choose for each clip a view of its label and another video, or -1 in classes where not all clips can have one."""
    sounds = np.full(len(views), -1)
    for label in np.unique(labels[labels != ""]):
        members = np.flatnonzero(labels == label)
        if np.unique(videos[members], return_counts=True)[1].max() * 2 <= len(members):
            sounds[members] = views[members[derange(videos[members], generator)]]
    return sounds
