"""The choice of mismatching sounds inside a batch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from avcorr.model.training.derangement import derange


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    groups=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(1, 6)), min_size=1, max_size=8),
    seed=st.integers(0, 2**31),
)
def test_derangement_is_a_permutation_that_leaves_every_video(groups: list[tuple[int, int]], seed: int) -> None:
    videos = torch.tensor([video for video, count in groups for _ in range(count)])
    videos = videos[torch.randperm(len(videos), generator=generator(seed))]
    index = derange(videos, generator(seed))
    assert sorted(index.tolist()) == list(range(len(videos)))
    assert torch.equal(index, derange(videos, generator(seed)))
    largest = videos.unique(return_counts=True)[1].max().item()
    if largest <= len(videos) // 2:
        assert (videos[index] != videos).all()


def test_any_two_videos_can_meet() -> None:
    # Ids in order, as when a corpus is numbered class by class: partners must not be its neighbours only.
    videos = torch.arange(8)
    met = {(i, j) for seed in range(300) for i, j in enumerate(derange(videos, generator(seed)).tolist())}
    assert len(met) == 8 * 7
