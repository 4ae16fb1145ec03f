"""Choice of mismatching sounds inside a batch of matching pairs."""

import torch
from torch import Tensor


def derange(videos: Tensor, generator: torch.Generator) -> Tensor:
    """Return a permutation (B,) int64: frame i meets the sound of item index[i], of another video.

    videos (B,) int64 holds the items' video ids. A permutation shows the towers exactly the sounds and the frames of
    the matching pairs, so neither alone tells which pairs match. Every item meets another video if no video owns more
    than B // 2 items; else test `videos[index] != videos`. Runs on the device without waiting for it.

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
