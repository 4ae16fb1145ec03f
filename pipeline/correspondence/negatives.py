"""Negatives: which kinds there are, and derangements, permutations that give each item the sound of another video.

Drawn pairs and the evaluation derange sounds on the host, objectives inside a batch on its device. Workflows hand both
functions to the model, which knows no clips.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..moments.catalogue import Catalogue
from ..moments.order import Ints

MATCH, OTHER_VIDEO, SAME_CLIP = 0, 1, 2
"""Kinds of pairs: the sound is the frame's own; of another video; of the same clip at another time."""
KINDS = {"matching": MATCH, "other video": OTHER_VIDEO, "same clip": SAME_CLIP}


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


def derange(videos: NDArray[Any], rng: np.random.Generator) -> Ints:
    """Draw for each of B items the one whose sound it gets: a permutation p with videos[p[i]] != videos[i] for every i.

    A uniform permutation is repaired by swaps. An item i whose partner is of its own video v swaps partners with an
    item j that is not of v and has no partner of v. If v owns g <= B / 2 items, at most 2g - 1 < B items are unfit, so
    j exists; the swap settles i and unsettles nothing. Where a video owns more, each item outside it swaps with one
    inside, and the surplus meets its own video and must be left as it is.
    """
    source: Ints = rng.permutation(len(videos))
    owners, sizes = np.unique(videos, return_counts=True)
    if len(videos) and sizes.max() * 2 > len(videos):
        inside = videos[source] == owners[sizes.argmax()]
        others = source[~inside]
        swapped = source[inside][: len(others)]
        source = np.arange(len(videos))
        source[swapped], source[others] = others, swapped
        return source
    for item in np.flatnonzero(videos[source] == videos).tolist():
        video = videos[item]
        if videos[source[item]] == video:  # no earlier swap settled it
            other = rng.choice(np.flatnonzero((videos != video) & (videos[source] != video)))
            source[[item, other]] = source[[other, item]]
    return source


def derange_batch(videos: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a derangement on a device, for negatives in a batch: int64 (B,), frame i meets the sound of item index[i].

    videos (B,) int64 holds the items' video ids. A permutation shows the towers exactly the sounds and the frames of
    the matching pairs, so neither alone tells which pairs match. Every item meets another video if no video owns more
    than B // 2 items; else test `videos[index] != videos`. `derange` would have to wait for the device, swap by swap.

         grouped by video  a a a b c c d d        roll by B // 2 = 4
         meets             c c d d a a a b

    A group of g <= B // 2 neighbours moves at least g places forward and, around the end, at least g places back.
    """
    # The videos come in random order, so that any two can meet: sorted by id, as when a corpus is numbered class by
    # class, the same ones would always be half a round apart.
    sorted_videos, order = videos.sort()
    is_first = sorted_videos.diff(prepend=sorted_videos[:1]) != 0
    rank = torch.randperm(len(videos), generator=generator, device=videos.device)[is_first.cumsum(0)]
    order = order[rank.argsort()]
    index = torch.empty_like(order)
    index[order] = order.roll(-(len(order) // 2))
    return index
