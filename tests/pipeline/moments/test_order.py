"""The order of visits: a pure function of seed, epoch and place, even over the clips, mixed, cheap to jump into."""

import collections
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcorr.pipeline.moments.order import Order, cell_size

SHARDS = np.repeat(np.arange(7), [50, 50, 3, 50, 49, 1, 50])


def order_of(batch_size: int = 32, *, seed: int = 0, per_clip: int = 2, window_clips: int = 16) -> Order:
    return Order(SHARDS, seed=seed, batch_size=batch_size, per_clip=per_clip, window_clips=window_clips)


def epoch_of(order: Order, epoch: int) -> list[tuple[int, int]]:
    """Return (clip, stratum) of all visits of an epoch, batch by batch."""
    visits: list[tuple[int, int]] = []
    for step in range(epoch * order.steps, (epoch + 1) * order.steps):
        for cell in range(order.cells):
            found = order.visits(step, cell)
            assert found.epoch == epoch
            visits += zip(found.clips.tolist(), found.strata.tolist(), strict=True)
    return visits


@pytest.mark.parametrize("window_clips", [0, 1, 16, 1000])
@pytest.mark.parametrize("batch_size", [16, 32, 24])
def test_an_epoch_visits_each_clip_as_often_in_another_stratum(window_clips: int, batch_size: int) -> None:
    order = order_of(batch_size, window_clips=window_clips)
    visits = epoch_of(order, 1)
    assert len(visits) == len(SHARDS) * 2 // batch_size * batch_size
    assert len(set(visits)) == len(visits), "a clip came twice in one stratum"
    assert len(SHARDS) * 2 - len(visits) < batch_size


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
    sizes: list[int], batch_size: int, per_clip: int, window_clips: int, step: int
) -> None:
    shard = np.repeat(np.arange(len(sizes)), sizes)
    order = Order(shard, seed=3, batch_size=batch_size, per_clip=per_clip, window_clips=window_clips)
    assert order.cells * order.cell_size == batch_size and order.steps >= 1
    for cell in range(order.cells):
        visits = order.visits(step, cell)
        assert visits.clips.shape == (order.cell_size,)
        assert visits.clips.min() >= 0 and visits.clips.max() < len(shard)
        assert visits.strata.min() >= 0 and visits.strata.max() < order.rounds


def test_a_window_lies_in_one_shard_and_is_left_for_good() -> None:
    """So a store that is read window by window is asked for each byte once, but for the borders of lanes."""
    order = order_of(window_clips=16)
    for cell in range(order.cells):
        found = [order.visits(step, cell) for step in range(order.steps)]
        windows = [visits.window for visits in found]
        runs = [window for number, window in enumerate(windows) if number == 0 or windows[number - 1] != window]
        assert len(runs) == len(set(runs))
        for visits in found:
            assert len(set(SHARDS[visits.clips].tolist())) <= 3  # its own window, and small ones that follow


def test_a_batch_mixes_many_places() -> None:
    order = Order(np.repeat(np.arange(40), 64), seed=0, batch_size=256, per_clip=4, window_clips=64)
    spread = [
        len({int(clip) // 64 for cell in range(order.cells) for clip in order.visits(step, cell).clips})
        for step in range(order.steps)
    ]
    assert order.cells == 16 and min(spread) >= 15
    cell = order.visits(3, 0).clips
    assert len(set(cell.tolist())) >= 15, "a cell of one round holds different clips"


def test_every_place_of_an_epoch_is_as_likely_for_every_clip() -> None:
    """Over many epochs each clip comes in the first batch as often as others do."""
    shard = np.repeat(np.arange(4), 16)
    order = Order(shard, seed=5, batch_size=16, per_clip=1, window_clips=8)
    seen = collections.Counter(
        clip for epoch in range(800) for clip in order.visits(epoch * order.steps, 0).clips.tolist()
    )
    assert set(seen) == set(range(64))
    assert 0.7 * 200 < min(seen.values()) and max(seen.values()) < 1.3 * 200


def test_it_survives_being_sent_to_a_process() -> None:
    order = order_of()
    order.visits(5, 1)
    copy = pickle.loads(pickle.dumps(order))
    assert np.array_equal(copy.visits(9, 1).clips, order.visits(9, 1).clips)


@pytest.mark.parametrize(("batch", "cell"), [(256, 16), (32, 16), (24, 12), (48, 16), (37, 37), (10, 10), (22, 11)])
def test_cells_divide_the_batch(batch: int, cell: int) -> None:
    assert cell_size(batch) == cell
