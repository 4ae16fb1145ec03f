"""Pairs: centred windows, negatives of other videos that nothing but correspondence gives away, exact repetition."""

import collections
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batches import PairBatch
from pipeline.errors import PairError
from pipeline.gallery import Gallery
from pipeline.loader import load_pairs
from pipeline.sampler import PairDataset, exchange, video_number
from pipeline.settings import PairSettings
from pipeline.views import decode_views, eligible_frames, make_view, window
from shards.clip import Clip
from shards.errors import DatasetMismatchError, ShardTruncatedError
from shards.index import Index
from shards.reader import read_clips

SETTINGS = PairSettings(frame_size=32, per_clip=4, shuffle_buffer=16, workers=0)


def batches(
    root: Path, count: int, *, batch_size: int = 8, seed: int = 0, start: int = 0, **changes: object
) -> list[PairBatch]:
    settings = SETTINGS.model_copy(update=changes)
    dataset = PairDataset(root, settings, batch_size=batch_size, seed=seed, start=start)
    return list(islice(load_pairs(dataset), count))


def same(first: list[PairBatch], second: list[PairBatch]) -> bool:
    if len(first) != len(second):
        return False
    columns = [pair for batches in zip(first, second, strict=True) for pair in zip(*batches, strict=True)]
    return all(torch.equal(one, other) for one, other in columns)


def clips_of(root: Path, split: str) -> list[Clip]:
    return [clip for record in Index(root).of_split(split) for clip in read_clips(root, record)]


def windows_by_bytes(root: Path) -> dict[bytes, tuple[int, float]]:
    """Return for each possible window of sound the video it is of and the time of its frame."""
    found: dict[bytes, tuple[int, float]] = {}
    for clip in clips_of(root, "train"):
        for frame in eligible_frames(clip.metadata, 1.0):
            view = make_view(clip, frame, 1.0, video_number(clip.metadata.video))
            found[view.pcm] = (view.video, view.time)
    return found


def test_shapes_and_types(shards: Path) -> None:
    (batch,) = batches(shards, 1)
    assert batch.frames.shape == (8, 32, 32, 3) and batch.frames.dtype == torch.uint8
    assert batch.audio.shape == (8, 16000) and batch.audio.dtype == torch.int16
    assert batch.matches.shape == batch.videos.shape == (8,)
    assert batch.matches.dtype == torch.bool and batch.videos.dtype == torch.int64


def test_positives_are_centred_and_negatives_are_of_another_video(shards: Path) -> None:
    windows = windows_by_bytes(shards)
    seen = 0
    for batch in batches(shards, 20):
        for audio, match, video in zip(batch.audio, batch.matches, batch.videos, strict=True):
            owner, moment = windows[audio.numpy().astype("<i2").tobytes()]
            assert (owner == int(video)) == bool(match)
            assert 0.5 <= moment <= 2.5
            seen += 1
    assert seen == 160


def test_the_rate_of_positives_is_kept(shards: Path) -> None:
    for rate, low, high in ((0.5, 0.42, 0.58), (0.9, 0.83, 0.95), (1.0, 1.0, 1.0)):
        matches = torch.cat([batch.matches for batch in batches(shards, 20, batch_size=32, positive_rate=rate)])
        assert low <= matches.float().mean() <= high


def test_a_batch_with_negatives_holds_the_frames_and_windows_of_one_without(shards: Path) -> None:
    """So neither the frame alone nor the sound alone can tell a negative: the marginals are equal by construction."""
    drawn, aligned = batches(shards, 10), batches(shards, 10, aligned=True)
    for negative, positive in zip(drawn, aligned, strict=True):
        assert torch.equal(negative.frames, positive.frames)
        assert sorted(map(bytes, negative.audio.numpy())) == sorted(map(bytes, positive.audio.numpy()))
        assert positive.matches.all()
    assert not all(batch.matches.all() for batch in drawn)


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(0, 2**32))
def test_exchange_is_a_permutation_that_leaves_the_video(videos: list[int], seed: int) -> None:
    numbers = np.array(videos, np.int64)
    giver = exchange(numbers, np.random.default_rng(seed))
    assert sorted(giver) == list(range(len(videos)))
    stayed = int((numbers[giver] == numbers).sum())
    largest = max(collections.Counter(videos).values(), default=0)
    assert stayed == max(0, 2 * largest - len(videos))


def test_the_same_seed_repeats_and_another_does_not(shards: Path) -> None:
    assert same(batches(shards, 6), batches(shards, 6))
    assert not same(batches(shards, 6), batches(shards, 6, seed=1))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_going_on_in_the_middle_gives_the_rest(shards: Path, workers: int) -> None:
    whole = batches(shards, 12, workers=workers)
    for start in (1, 4, 7):
        assert same(batches(shards, 12 - start, start=start, workers=workers), whole[start:])


def test_epochs_differ_in_order_and_cover_every_clip(shards: Path) -> None:
    videos = [int(video) for batch in batches(shards, 24, shuffle_buffer=1, per_clip=1) for video in batch.videos]
    assert set(videos) == {video_number(clip.metadata.video) for clip in clips_of(shards, "train")}
    epochs = [tuple(videos[start : start + 8]) for start in range(0, len(videos) - 8, 8)]
    assert len(set(epochs)) > 1


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_ranks_and_workers_share_the_clips(shards: Path, ranks: int, workers: int) -> None:
    """With as many shards as consumers or fewer, each has clips, and together they have all."""
    seen: set[int] = set()
    for rank in range(ranks):
        settings = SETTINGS.model_copy(update={"workers": workers, "aligned": True})
        dataset = PairDataset(shards, settings, batch_size=4, seed=0, rank=rank, ranks=ranks)
        own = {int(video) for batch in islice(load_pairs(dataset), 60) for video in batch.videos}
        assert own
        seen |= own
    assert len(seen) == 8


def test_windows_lie_inside_the_sound(shards: Path) -> None:
    metadata = clips_of(shards, "train")[0].metadata
    for frame in eligible_frames(metadata, 1.0):
        start, stop = window(metadata, metadata.frame_times[frame], 1.0)
        assert 0 <= start and stop <= metadata.sample_count and stop - start == 16000
        assert abs((start + stop) / 2 / 16000 - metadata.frame_times[frame]) < 1e-4
    assert eligible_frames(metadata, 3.1) == []


def test_frames_are_scaled_to_the_crop_not_cut_out_small(shards: Path) -> None:
    clip = clips_of(shards, "train")[0]
    view = make_view(clip, 4, 1.0, 0)
    centre, _ = decode_views([view], 24, None)
    shifted = {decode_views([view], 24, np.random.default_rng(seed))[0].tobytes() for seed in range(8)}
    assert centre.shape == (1, 24, 24, 3) and len(shifted) > 1
    with pytest.raises(PairError, match="smaller than pairs.frame_size = 64"):
        decode_views([view], 64, None)


def test_impossible_pairs_are_said(shards: Path) -> None:
    with pytest.raises(DatasetMismatchError, match="no clips in the split 'val'; it has test, train"):
        batches(shards, 1, split="val")
    with pytest.raises(PairError, match="0 clips of 5 s or more"):
        batches(shards, 1, window_seconds=5.0)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_ends_in_one_line(tmp_path: Path, shards: Path, workers: int) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    path = root / "train" / "clips-train-000001.tar"
    path.write_bytes(path.read_bytes()[:-20480])
    with pytest.raises(ShardTruncatedError, match=r"clips-train-000001\.tar has \d+ bytes; its index says") as caught:
        batches(root, 30, workers=workers)
    assert "\n" not in str(caught.value)


def test_a_gallery_holds_each_clip_once(shards: Path) -> None:
    gallery = Gallery(shards, "test", views_per_clip=3, seed=0, frame_size=32, window_seconds=1.0)
    whole = list(gallery.batches(5))
    numbers = torch.cat([batch.clips for batch in whole]).tolist()
    times = torch.cat([batch.times for batch in whole]).tolist()
    assert collections.Counter(numbers) == {number: 3 for number in range(4)}
    assert len({clip.key for clip in gallery.clips}) == 4
    other = Gallery(shards, "test", views_per_clip=3, seed=0, frame_size=32, window_seconds=1.0)
    assert torch.cat([batch.times for batch in other.batches(64)]).tolist() == times
    media = gallery.media([(0, times[0]), (3, times[-1])])
    assert set(media) == {(0, times[0]), (3, times[-1])}
    jpeg, wav = media[0, times[0]]
    assert jpeg[:2] == b"\xff\xd8" and wav[:4] == b"RIFF" and len(wav) == 44 + 32000
    assert wav[44:] == whole[0].audio[0].numpy().astype("<i2").tobytes()


def test_a_gallery_of_short_clips_is_refused(shards: Path) -> None:
    gallery = Gallery(shards, "test", views_per_clip=1, seed=0, frame_size=32, window_seconds=4.0)
    with pytest.raises(PairError, match="no clip of the split is as long"):
        list(gallery.batches(4))
    assert gallery.too_short == 4
