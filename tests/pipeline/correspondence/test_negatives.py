"""Permutations that give each item the sound of another video, on the host and on a device."""

import collections

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avcorr.pipeline.correspondence.negatives import derange, derange_batch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    groups=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(1, 6)), min_size=1, max_size=8),
    seed=st.integers(0, 2**31),
)
def test_derangement_is_a_permutation_that_leaves_every_video(groups: list[tuple[int, int]], seed: int) -> None:
    videos = torch.tensor([video for video, count in groups for _ in range(count)])
    videos = videos[torch.randperm(len(videos), generator=generator(seed))]
    index = derange_batch(videos, generator(seed))
    assert sorted(index.tolist()) == list(range(len(videos)))
    assert torch.equal(index, derange_batch(videos, generator(seed)))
    largest = videos.unique(return_counts=True)[1].max().item()
    if largest <= len(videos) // 2:
        assert (videos[index] != videos).all()


def test_any_two_videos_can_meet() -> None:
    # Ids in order, as when a corpus is numbered class by class: partners must not be its neighbours only.
    videos = torch.arange(8)
    met = {(i, j) for seed in range(300) for i, j in enumerate(derange_batch(videos, generator(seed)).tolist())}
    assert len(met) == 8 * 7


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(0, 2**32))
def test_exchange_is_a_permutation_that_leaves_the_video(videos: list[int], seed: int) -> None:
    numbers = np.array(videos, np.int64)
    source = derange(numbers, np.random.default_rng(seed))
    assert sorted(source) == list(range(len(videos)))
    stayed = int((numbers[source] == numbers).sum())
    largest = max(collections.Counter(videos).values(), default=0)
    assert stayed == max(0, 2 * largest - len(videos))


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1, 1), (3, 3), (5,) * 40, (7, 3, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_a_derangement_never_pairs_a_video_with_itself_and_uses_every_sound_once(
    sizes: tuple[int, ...], seed: int
) -> None:
    videos = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    partners = derange(videos, np.random.default_rng(seed))
    assert (videos[partners] != videos).all()
    assert sorted(partners) == list(range(len(videos)))


def test_a_derangement_is_a_function_of_the_seed() -> None:
    videos = np.repeat(np.arange(30), 3)
    first, again, other = (derange(videos, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()


def test_a_derangement_mixes_partners_over_many_videos() -> None:
    videos = np.repeat(np.arange(100), 5)
    partners = videos[derange(videos, np.random.default_rng(0))].reshape(100, 5)
    assert np.mean([len(set(row)) for row in partners]) > 4.5
