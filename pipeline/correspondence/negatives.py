"""Negatives: which kinds there are, and the permutation that gives each item the sound of another video.

The names of the kinds are those of the evaluation and of the explorer, too.
"""

from collections import Counter

import numpy as np

from ..moments.catalogue import Catalogue
from ..moments.order import Ints

MATCH, OTHER_VIDEO, SAME_CLIP = 0, 1, 2
"""Kinds of pairs: the sound is the frame's own; of another video; of the same clip at another time."""


def far_frames(catalogue: Catalogue, clip: int, frame: int, offset_seconds: float) -> Ints:
    """Return the frames of a clip that are so many seconds or more from one of them."""
    times = catalogue.times_of(clip)
    return np.flatnonzero(np.abs(times - times[frame]) >= offset_seconds - 1e-6)


def two_or_none(negatives: Ints, size: int, rng: np.random.Generator) -> Ints:
    """A lone negative has nobody to exchange with: make it two or none, so that the rate is kept on average."""
    if len(negatives) != 1 or size == 1:
        return negatives
    other = int(rng.integers(size - 1))
    partner = other + (other >= negatives[0])
    return np.sort(np.append(negatives, partner)) if rng.random() < 0.5 else negatives[:0]


def exchange(videos: Ints, rng: np.random.Generator) -> Ints:
    """Return for each of B items the item whose sound it gets: a permutation.

    Views are put in random order, grouped by video, and each takes the sound of the one that lies as far behind it,
    round the circle, as the largest group is big. Where no video owns more than half of the items, none meets its own
    video; where one does, the surplus meets it again and must be left as it is.
    """
    if not len(videos):
        return np.empty(0, np.int64)
    shuffled = rng.permutation(len(videos))
    names, groups = np.unique(videos[shuffled], return_inverse=True)
    order = shuffled[np.argsort(rng.permutation(len(names))[groups], kind="stable")]
    largest = int(np.bincount(groups).max())
    source = np.empty_like(order)
    if largest <= len(order) // 2:
        source[order] = np.roll(order, -largest)
    else:
        source[order] = _meet_halfway(order, videos)
    return source


def _meet_halfway(order: Ints, videos: Ints) -> Ints:
    """Swap each item outside the largest video with one inside it; leave the rest where they are."""
    largest = Counter(videos.tolist()).most_common(1)[0][0]
    result = order.copy()
    inside, outside = (np.flatnonzero(videos[order] == largest), np.flatnonzero(videos[order] != largest))
    swapped = inside[: len(outside)]
    result[swapped], result[outside] = order[outside], order[swapped]
    return result
