"""The order of samples: a pure function of seed, epoch and place, even over the clips, mixed, cheap to jump into."""

import collections
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcorr.pipeline.moments.order import Order, chunk_size

SHARDS = np.repeat(np.arange(7), [50, 50, 3, 50, 49, 1, 50])


def order_of(batch_size: int = 32, *, seed: int = 0, per_clip: int = 2, block_clips: int = 16) -> Order:
    return Order(SHARDS, seed=seed, batch_size=batch_size, per_clip=per_clip, block_clips=block_clips)


def epoch_of(order: Order, epoch: int) -> list[tuple[int, int]]:
    """Return (clip, segment) of all samples of an epoch, batch by batch."""
    samples: list[tuple[int, int]] = []
    for step in range(epoch * order.steps, (epoch + 1) * order.steps):
        for chunk in range(order.chunks):
            found = order.samples(step, chunk)
            assert found.epoch == epoch
            samples += zip(found.clips.tolist(), found.segments.tolist(), strict=True)
    return samples


@pytest.mark.parametrize("block_clips", [0, 1, 16, 1000])
@pytest.mark.parametrize("batch_size", [16, 32, 24])
def test_an_epoch_takes_each_clip_as_often_in_another_segment(block_clips: int, batch_size: int) -> None:
    order = order_of(batch_size, block_clips=block_clips)
    samples = epoch_of(order, 1)
    assert len(samples) == len(SHARDS) * 2 // batch_size * batch_size
    assert len(set(samples)) == len(samples), "a clip came twice in one segment"
    assert len(SHARDS) * 2 - len(samples) < batch_size


def test_epochs_and_seeds_differ_and_repeat() -> None:
    first, second, other = (epoch_of(order_of(seed=seed), epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0)))
    assert first == epoch_of(order_of(), 0)
    assert len({tuple(first), tuple(second), tuple(other)}) == 3


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 70), st.integers(1, 5), st.integers(0, 30),
    st.integers(0, 10**6),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_shape_gives_whole_batches(
    sizes: list[int], batch_size: int, per_clip: int, block_clips: int, step: int
) -> None:
    shard = np.repeat(np.arange(len(sizes)), sizes)
    order = Order(shard, seed=3, batch_size=batch_size, per_clip=per_clip, block_clips=block_clips)
    assert order.chunks * order.chunk_size == batch_size and order.steps >= 1
    for chunk in range(order.chunks):
        samples = order.samples(step, chunk)
        assert samples.clips.shape == (order.chunk_size,)
        assert samples.clips.min() >= 0 and samples.clips.max() < len(shard)
        assert samples.segments.min() >= 0 and samples.segments.max() < order.passes


def test_a_block_lies_in_one_shard_and_is_left_for_good() -> None:
    """So a store that is read block by block is asked for each byte once, but for the borders of streams."""
    order = order_of(block_clips=16)
    for chunk in range(order.chunks):
        found = [order.samples(step, chunk) for step in range(order.steps)]
        blocks = [samples.block for samples in found]
        runs = [block for number, block in enumerate(blocks) if number == 0 or blocks[number - 1] != block]
        assert len(runs) == len(set(runs))
        for samples in found:
            assert len(set(SHARDS[samples.clips].tolist())) <= 3  # its own block, and small ones that follow


def test_a_batch_mixes_many_places() -> None:
    order = Order(np.repeat(np.arange(40), 64), seed=0, batch_size=256, per_clip=4, block_clips=64)
    spread = [
        len({int(clip) // 64 for chunk in range(order.chunks) for clip in order.samples(step, chunk).clips})
        for step in range(order.steps)
    ]
    assert order.chunks == 16 and min(spread) >= 15
    chunk = order.samples(3, 0).clips
    assert len(set(chunk.tolist())) >= 15, "a chunk of one pass holds different clips"


def test_every_place_of_an_epoch_is_as_likely_for_every_clip() -> None:
    """Over many epochs each clip comes in the first batch as often as others do."""
    shard = np.repeat(np.arange(4), 16)
    order = Order(shard, seed=5, batch_size=16, per_clip=1, block_clips=8)
    seen = collections.Counter(
        clip for epoch in range(800) for clip in order.samples(epoch * order.steps, 0).clips.tolist()
    )
    assert set(seen) == set(range(64))
    assert 0.7 * 200 < min(seen.values()) and max(seen.values()) < 1.3 * 200


def test_it_survives_being_sent_to_a_process() -> None:
    order = order_of()
    order.samples(5, 1)
    copy = pickle.loads(pickle.dumps(order))
    assert np.array_equal(copy.samples(9, 1).clips, order.samples(9, 1).clips)


@pytest.mark.parametrize(("batch", "chunk"), [(256, 16), (32, 16), (24, 12), (48, 16), (37, 37), (10, 10), (22, 11)])
def test_chunks_divide_the_batch(batch: int, chunk: int) -> None:
    assert chunk_size(batch) == chunk
