"""Pairs: centred windows, negatives of other videos that nothing but correspondence gives away, exact repetition."""

import collections
import hashlib
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from avcorr.pipeline.correspondence.negatives import MATCH, OTHER_VIDEO, SAME_CLIP
from avcorr.pipeline.correspondence.pairs import PairBatch, PairDataset
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.pipeline.moments.catalogue import Catalogue, video_number
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.moments.views import decode_frames
from avcorr.pipeline.settings import PairSettings
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import (
    DatasetMismatchError,
    ShardError,
    ShardFormatError,
    ShardTruncatedError,
)
from avcorr.shards.format.clip import Clip
from avcorr.shards.reader import read_clips
from avcorr.shards.stores.local import LocalStore
from tests.support.tables import table_of

SETTINGS = PairSettings(frame_size=32, per_clip=4, block_clips=4, workers=0)
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def loader_of(
    root: Path, *, batch_size: int = 16, seed: int = 0, rank: int = 0, ranks: int = 1, start: int = 0,
    start_method: str | None = None, **changes: object,
) -> MomentLoader:  # fmt: skip
    settings = SETTINGS.model_copy(update=changes)
    dataset = PairDataset(root, settings, batch_size=batch_size, seed=seed, rank=rank, ranks=ranks, start=start)
    return MomentLoader(dataset, start_method=start_method)


def batches(root: Path, count: int, **options: object) -> list[PairBatch]:
    return list(islice(loader_of(root, **options), count))  # type: ignore[arg-type]


def digest(sequence: list[PairBatch]) -> str:
    """Return one hash of all pairs in their order, whatever batches they come in."""
    columns = (torch.cat(column) for column in zip(*sequence, strict=True))
    return hashlib.sha256(b"".join(column.numpy().tobytes() for column in columns)).hexdigest()


def merged(parts: list[list[PairBatch]]) -> list[PairBatch]:
    """Put the ranks' batches of each step side by side."""
    return [PairBatch(*(torch.cat(column) for column in zip(*step, strict=True))) for step in zip(*parts, strict=True)]


def clips_of(root: Path, split: str) -> list[Clip]:
    return [clip for record in Dataset(root).of_split(split) for clip in read_clips(root, record)]


def windows_by_bytes(root: Path) -> dict[bytes, tuple[int, float]]:
    """Return for each possible window of sound the video it is of and the time of its frame, from the clips alone."""
    found: dict[bytes, tuple[int, float]] = {}
    for clip in clips_of(root, "train"):
        for time in clip.metadata.frame_times:
            first = round((time - 0.5) * 16000)
            if 0 <= first <= clip.metadata.sample_count - 16000:
                pcm = bytes(clip.samples(first, first + 16000))
                found[pcm] = (video_number(clip.metadata.video), time)
    return found


def sounds(batch: PairBatch) -> Iterator[bytes]:
    return (row.astype("<i2").tobytes() for row in batch.audio.numpy())


def test_shapes_and_types(shards: Path) -> None:
    (batch,) = batches(shards, 1)
    assert batch.frames.shape == (16, 32, 32, 3) and batch.frames.dtype == torch.uint8
    assert batch.audio.shape == (16, 16000) and batch.audio.dtype == torch.int16
    assert batch.matches.shape == batch.videos.shape == batch.kinds.shape == (16,)
    assert (batch.matches.dtype, batch.videos.dtype, batch.kinds.dtype) == (torch.bool, torch.int64, torch.int8)


def test_positives_are_centred_and_negatives_are_of_another_video(shards: Path) -> None:
    windows = windows_by_bytes(shards)
    seen: collections.Counter[int] = collections.Counter()
    for batch in batches(shards, 20):
        for pcm, match, video, kind in zip(sounds(batch), batch.matches, batch.videos, batch.kinds, strict=True):
            owner, moment = windows[pcm]
            assert (owner == int(video)) == bool(match)
            assert int(kind) == (MATCH if match else OTHER_VIDEO)
            assert 0.5 <= moment <= 2.5
            seen[int(kind)] += 1
    assert seen.total() == 320 and min(seen.values()) > 100


def test_the_frame_of_a_positive_is_shown_when_its_sound_is_heard(shards: Path) -> None:
    """The frame is decoded again from the clip, at the time in the middle of the window."""
    windows = windows_by_bytes(shards)
    clips = {video_number(clip.metadata.video): clip for clip in clips_of(shards, "train")}
    for batch in batches(shards, 4, positive_rate=1.0, crop="center"):
        for pcm, video, frame in zip(sounds(batch), batch.videos, batch.frames, strict=True):
            clip = clips[int(video)]
            number = clip.metadata.frame_times.index(windows[pcm][1])
            expected = np.empty((1, 32, 32, 3), np.uint8)
            decode_frames([bytes(clip.frame(number))], np.array([[0.5, 0.5]]), expected)
            assert np.array_equal(frame.numpy(), expected[0])


def test_hard_negatives_are_of_the_same_clip_and_far_away(shards: Path) -> None:
    """The frame's own time is found by taking the same draw without negatives."""
    windows = windows_by_bytes(shards)
    drawn = batches(shards, 20, hard_negative_fraction=0.5, min_offset_seconds=1.0)
    aligned = batches(shards, 20, aligned=True)
    kinds: collections.Counter[int] = collections.Counter()
    for batch, plain in zip(drawn, aligned, strict=True):
        assert torch.equal(batch.frames, plain.frames)
        for pcm, own, kind, video in zip(sounds(batch), sounds(plain), batch.kinds, batch.videos, strict=True):
            kinds[int(kind)] += 1
            if kind == SAME_CLIP:
                owner, moment = windows[pcm]
                assert owner == int(video) and abs(moment - windows[own][1]) >= 1.0 - 1e-6
    assert kinds[SAME_CLIP] > 20 and kinds[OTHER_VIDEO] > 40 and kinds[MATCH] > 100


def test_where_no_frame_is_far_enough_the_negative_is_of_another_video(shards: Path) -> None:
    kinds = torch.cat(
        [batch.kinds for batch in batches(shards, 10, hard_negative_fraction=1.0, min_offset_seconds=9.0)]
    )
    assert SAME_CLIP not in kinds and (kinds == OTHER_VIDEO).float().mean() > 0.3


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


def test_the_same_seed_repeats_and_another_does_not(shards: Path) -> None:
    assert digest(batches(shards, 6)) == digest(batches(shards, 6))
    assert digest(batches(shards, 6)) != digest(batches(shards, 6, seed=1))


@pytest.mark.parametrize("block_clips", [0, 4])
@pytest.mark.parametrize("blocks", [False, True])
def test_any_ranks_and_workers_give_one_global_sequence(
    shards: Path, monkeypatch: pytest.MonkeyPatch, block_clips: int, blocks: bool
) -> None:
    """Batches of 48 are three chunks of 16, so ranks and workers cut through chunks, and epochs end in between.

    Also where whole blocks are read ahead and workers share each batch, as from a remote store.
    """
    monkeypatch.setattr(LocalStore, "is_local", not blocks)
    options = {"batch_size": 48, "block_clips": block_clips}
    expected = digest(batches(shards, 5, **options))
    shapes = ((2, 2), (3, 4), (1, 3)) if blocks else ((1, 1), (2, 2), (4, 1), (3, 4), (1, 3), (1, 6))
    for ranks, workers in shapes:
        parts = [batches(shards, 5, rank=rank, ranks=ranks, workers=workers, **options) for rank in range(ranks)]
        assert {len(batch.frames) for part in parts for batch in part} == {48 // ranks}
        assert digest(merged(parts)) == expected, (ranks, workers)


def test_a_batch_that_ranks_cannot_share_is_refused(shards: Path) -> None:
    with pytest.raises(PairError, match="a batch of 16 pairs cannot be divided among 3 processes"):
        loader_of(shards, ranks=3)


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_workers_may_be_forked_or_spawned(shards: Path, start_method: str) -> None:
    assert digest(batches(shards, 3, workers=2, start_method=start_method, batch_size=32)) == digest(
        batches(shards, 3, batch_size=32)
    )


def test_fifty_interruptions_lose_and_repeat_nothing(shards: Path) -> None:
    """Each time another number of workers goes on from the state alone; what workers had in hand is drawn again."""
    rng = np.random.default_rng(0)
    whole = batches(shards, 120)
    state: dict[str, int] = {}
    done: list[PairBatch] = []
    for turn in range(50):
        loader = loader_of(shards, workers=int(rng.integers(3)) if turn % 5 == 0 else 0)
        if state:
            loader.load_state_dict(state)
        taken = list(islice(loader, int(rng.integers(0, 4))))
        done += taken
        state = loader.state_dict()
        assert state["step"] == len(done)
    assert len(done) > 50
    assert digest(done) == digest(whole[: len(done)])


def test_a_state_may_be_loaded_before_and_after_iterating(shards: Path) -> None:
    whole = batches(shards, 8)
    loader = loader_of(shards)
    list(islice(loader, 3))
    state = loader.state_dict()
    list(islice(loader, 2))
    loader.load_state_dict(state)
    assert digest(list(islice(loader, 5))) == digest(whole[3:])


def test_a_state_of_another_sequence_is_refused(shards: Path) -> None:
    state = loader_of(shards).state_dict()
    with pytest.raises(DatasetMismatchError, match="its batch_size, seed are not that of this loader"):
        loader_of(shards, seed=1, batch_size=8).load_state_dict(state)


def test_an_epoch_takes_every_clip_as_often(shards: Path) -> None:
    seen = collections.Counter(int(video) for batch in batches(shards, 4, batch_size=8) for video in batch.videos)
    assert seen == {video_number(clip.metadata.video): 4 for clip in clips_of(shards, "train")}


def test_the_catalogue_knows_the_bytes_of_every_view(shards: Path) -> None:
    catalogue = Catalogue(shards, "train", 1.0, texts=True)
    clips = clips_of(shards, "train")
    assert catalogue.keys == tuple(clip.key for clip in clips)
    for number, clip in enumerate(clips):
        times = catalogue.times_of(number)
        inside = [time for time in clip.metadata.frame_times if 0.5 <= time <= clip.metadata.duration - 0.5]
        assert times.tolist() == pytest.approx(inside, abs=1e-6)
        one, frames = np.full(len(times), number), np.arange(len(times))
        for place, time in zip(catalogue.pictures(one, frames), inside, strict=True):
            data = (shards / place.path).read_bytes()[place.start : place.stop]
            assert data == bytes(clip.frame(clip.metadata.frame_times.index(time)))
        for place, time in zip(
            catalogue.sounds(one, catalogue.centred(one, frames), np.full(len(times), 16000)), inside, strict=True
        ):
            assert place.stop - place.start == 32000
            first = round((time - 0.5) * 16000)
            data = (shards / place.path).read_bytes()[place.start : place.stop]
            assert data == bytes(clip.samples(first, first + 16000))


def test_clips_without_room_for_a_window_are_counted_not_padded(shards: Path) -> None:
    catalogue = Catalogue(shards, "train", 2.9)
    assert len(catalogue) == 8 and catalogue.too_short == 0 and set(catalogue.frames.tolist()) == {1}
    with pytest.raises(PairError, match=r"has 0 clips of 5 s or more in 'train' \(8 are shorter\)"):
        batches(shards, 1, window_seconds=5.0)
    with pytest.raises(DatasetMismatchError, match="no clips in the split 'val'; it has test, train"):
        batches(shards, 1, split="val")


def test_crops_lie_inside_and_differ(shards: Path) -> None:
    jpeg = bytes(clips_of(shards, "train")[0].frame(4))
    crops = np.random.default_rng(0).random((8, 2))
    frames = np.empty((8, 24, 24, 3), np.uint8)
    decode_frames([jpeg] * 8, crops, frames)
    assert len({frame.tobytes() for frame in frames}) > 1
    with pytest.raises(PairError, match=r"smaller than pairs\.frame_size = 64"):
        decode_frames([jpeg], crops[:1], np.empty((1, 64, 64, 3), np.uint8))


def damage(root: Path, how: str) -> str:
    """Damage the second shard of a dataset; return what the error says of it."""
    path = root / "train" / "clips-train-000001.tar"
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return r"clips-train-000001\.tar is missing; its index says 4 clips"
    if how == "short":
        path.write_bytes(data[:-20480])
        return r"clips-train-000001\.tar has \d+ bytes; its index says"
    if how == "no end":
        path.write_bytes(data[:-512] + b"x" * 512)
        return r"clips-train-000001\.tar does not end in two blocks of zeros"
    start = data.find(b"\xff\xd8\xff")
    while start >= 0:
        data[start : start + 4] = b"none"
        start = data.find(b"\xff\xd8\xff")
    path.write_bytes(data)
    return r"clips-train-000001\.tar: a stored frame does not begin with SOI"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["gone", "short", "no end", "no JPEG"])
def test_a_damaged_shard_ends_in_one_line(tmp_path: Path, shards: Path, how: str, workers: int) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    message = damage(root, how)
    kind = ShardFormatError if how == "no JPEG" else ShardTruncatedError
    with pytest.raises(kind, match=message) as caught:
        batches(root, 30, workers=workers)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["gone", "short", "no JPEG"])
def test_bad_shards_within_the_budget_are_replaced_and_counted(
    tmp_path: Path, shards: Path, how: str, workers: int
) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    damage(root, how)
    loader = loader_of(root, workers=workers, max_bad_shards=1)
    found = list(islice(loader, 10))
    assert len(found) == 10 and {len(batch.frames) for batch in found} == {16}
    assert list(loader.bad_shards) == ["train/clips-train-000001.tar"]
    good = {video_number(video) for video in table_of(root, Dataset(root).of_split("train")[0]).texts("video")}
    assert {int(video) for batch in found for video in batch.videos} == good
    assert 0.3 < torch.cat([batch.matches for batch in found]).float().mean() < 0.7


def test_the_budget_is_for_all_workers_together(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    damage(root, "short")
    (root / "train" / "clips-train-000000.tar").unlink()
    with pytest.raises(ShardError):
        batches(root, 30, max_bad_shards=5)


@pytest.mark.parametrize(("decode", "workers", "times"), [("frame", 0, 100), ("frame", 1, 12), ("device", 1, 5)])
def test_open_files_stay_few_over_many_epochs_left_early(shards: Path, decode: str, workers: int, times: int) -> None:
    loader = loader_of(shards, decode=decode, workers=workers)
    list(islice(loader, 3))  # the first epoch has two steps
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(times):
        for batch in loader:
            assert len(batch.frames) == 16
            break
    del batch  # a worker's tensors are files of shared memory
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    assert loader.step == 3 + times


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
    with pytest.raises(PairError, match=r"has 0 clips of 4 s or more in 'test' \(4 are shorter\)"):
        Gallery(shards, "test", views_per_clip=1, seed=0, frame_size=32, window_seconds=4.0)


def test_a_gallery_of_a_damaged_shard_is_refused(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    path = root / "test" / "clips-test-000000.tar"
    path.write_bytes(path.read_bytes()[:-20480])
    gallery = Gallery(root, "test", views_per_clip=1, seed=0, frame_size=32, window_seconds=1.0)
    with pytest.raises(ShardTruncatedError, match=r"clips-test-000000\.tar has \d+ bytes"):
        list(gallery.batches(4))
