"""What is drawn for each visit: the frame, the crop, and whether the sound is the frame's own.

Pairs are drawn aligned: each frame with the window of sound centred on it. A negative is then made in one of two ways.
Of another video: sounds are exchanged among the pairs of a cell that were drawn negative, so a cell with such negatives
holds exactly the frames and the windows that it would hold without, and neither alone can tell a negative from a
positive. (With windows of negatives cut anywhere instead, AVE-Net measured 87.6 % for a true 81.9 %: arXiv 1712.06651,
section 3.2.) Of the same clip: the window centred on another of its frames, far enough away.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..moments.catalogue import Catalogue
from ..moments.order import Ints, Visits
from ..settings import PairSettings

MATCH, OTHER_VIDEO, SAME_CLIP = 0, 1, 2
"""Kinds of pairs: the sound is the frame's own; of another video; of the same clip at another time."""


class Draws(NamedTuple):
    """A cell of c pairs, before anything is read."""

    clips: Ints
    """(c,)"""
    frames: Ints
    """(c,) numbers among the frames that the clip has to choose from."""
    sound_clips: Ints
    """(c,) whose sound it is."""
    sound_frames: Ints
    """(c,) the frame that the sound is centred on."""
    kinds: NDArray[np.int8]
    """(c,) MATCH, OTHER_VIDEO or SAME_CLIP."""
    crops: NDArray[np.float64]
    """(c, 2) in [0, 1): where the crop lies in what the frame leaves free, from the top and from the left."""

    def part(self, start: int, stop: int) -> "Draws":
        """Return the pairs [start, stop)."""
        here = slice(start, stop)
        return Draws(
            self.clips[here], self.frames[here], self.sound_clips[here], self.sound_frames[here], self.kinds[here],
            self.crops[here],
        )  # fmt: skip


def draw(visits: Visits, catalogue: Catalogue, settings: PairSettings, *, seed: int, rounds: int) -> Draws:
    """Draw the pairs of a cell; a function of the arguments alone."""
    rng = np.random.default_rng([seed, visits.epoch, 2, visits.number])
    clips, size = visits.clips, len(visits.clips)
    frames = (catalogue.frames[clips] * (visits.strata + rng.random(size)) / rounds).astype(np.int64)
    crops = rng.random((size, 2)) if settings.crop == "random" else np.full((size, 2), 0.5)
    kinds = np.zeros(size, np.int8)
    sound_clips, sound_frames = clips.copy(), frames.copy()
    if not settings.aligned:
        negative = rng.random(size) >= settings.positive_rate
        hard = negative & (rng.random(size) < settings.hard_negative_fraction)
        for pair in np.flatnonzero(hard).tolist():
            far = _far_frames(catalogue, int(clips[pair]), int(frames[pair]), settings.min_offset_seconds)
            if len(far):
                sound_frames[pair] = rng.choice(far)
                kinds[pair] = SAME_CLIP
        others = _two_or_none(np.flatnonzero(negative & (kinds == MATCH)), size, rng)
        videos = catalogue.video[clips]
        giver = others[exchange(videos[others], rng)]
        moved = videos[giver] != videos[others]
        taker, giver = others[moved], giver[moved]
        sound_clips[taker], sound_frames[taker] = clips[giver], frames[giver]
        kinds[taker] = OTHER_VIDEO
    return Draws(clips, frames, sound_clips, sound_frames, kinds, crops)


def _far_frames(catalogue: Catalogue, clip: int, frame: int, offset_seconds: float) -> Ints:
    times = catalogue.times_of(clip)
    return np.flatnonzero(np.abs(times - times[frame]) >= offset_seconds - 1e-6)


def _two_or_none(negatives: Ints, size: int, rng: np.random.Generator) -> Ints:
    """A lone negative has nobody to exchange with: make it two or none, so that the rate is kept on average."""
    if len(negatives) != 1 or size == 1:
        return negatives
    other = int(rng.integers(size - 1))
    partner = other + (other >= negatives[0])
    return np.sort(np.append(negatives, partner)) if rng.random() < 0.5 else negatives[:0]


def exchange(videos: Ints, rng: np.random.Generator) -> Ints:
    """Return for each of B views the view whose sound it gets: a permutation.

    Views are put in random order, grouped by video, and each takes the sound of the one that lies as far behind it,
    round the circle, as the largest group is big. Where no video owns more than half of the views, none meets its own
    video; where one does, the surplus meets it again and must be left as it is.
    """
    if not len(videos):
        return np.empty(0, np.int64)
    shuffled = rng.permutation(len(videos))
    names, groups = np.unique(videos[shuffled], return_inverse=True)
    order = shuffled[np.argsort(rng.permutation(len(names))[groups], kind="stable")]
    largest = int(np.bincount(groups).max())
    giver = np.empty_like(order)
    if largest <= len(order) // 2:
        giver[order] = np.roll(order, -largest)
    else:
        giver[order] = _meet_halfway(order, videos)
    return giver


def _meet_halfway(order: Ints, videos: Ints) -> Ints:
    """Swap each view outside the largest video with one inside it; leave the rest where they are."""
    largest = Counter(videos.tolist()).most_common(1)[0][0]
    result = order.copy()
    inside, outside = (np.flatnonzero(videos[order] == largest), np.flatnonzero(videos[order] != largest))
    swapped = inside[: len(outside)]
    result[swapped], result[outside] = order[outside], order[swapped]
    return result
