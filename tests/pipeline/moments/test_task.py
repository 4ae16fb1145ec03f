"""Another task on the same stream: any number of sounds an item; order, workers and resume come with it."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from avcorr.pipeline.moments.catalogue import Catalogue
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.moments.order import Samples
from avcorr.pipeline.moments.sampler import MomentDataset
from avcorr.pipeline.moments.task import Request
from avcorr.pipeline.settings import StreamSettings
from avcorr.shards.dataset import Dataset
from avcorr.shards.reader import read_clips

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class LagBatch(NamedTuple):
    frames: Tensor
    sounds: Tensor
    clips: Tensor
    starts: Tensor
    lags: Tensor


class Lag:
    """A frame, a sound of 1,000 samples, and one of 1,200 or 1,201 that begins a known time later: how much later?"""

    def require(self, catalogue: Catalogue) -> None:
        """Take any clips."""

    def width(self, catalogue: Catalogue) -> int:
        return 1201

    def draw(self, samples: Samples, catalogue: Catalogue, rng: np.random.Generator) -> Request:
        clips, size = samples.clips, len(samples.clips)
        lags, starts = rng.integers(100, 8000, size), rng.integers(0, 1000, size)
        frames = rng.integers(0, catalogue.frames[clips])
        return Request(
            frame_clips=clips, frames=frames, crops=rng.random((size, 2)), sound_clips=clips.repeat(2),
            starts=np.stack([starts, starts + lags], axis=1).ravel(),
            lengths=np.stack([np.full(size, 1000), 1200 + lags % 2], axis=1).ravel(),
            frame_counts=np.ones(size, np.int64), sound_counts=np.full(size, 2), targets=(clips, starts, lags),
        )  # fmt: skip

    def collate(self, frames: Tensor, audio: Tensor, *targets: Tensor) -> LagBatch:
        return LagBatch(frames, audio.reshape(len(frames), 2, -1), *targets)


def batches(root: Path, workers: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> list[LagBatch]:
    settings = StreamSettings(frame_size=32, block_clips=4, workers=workers)
    dataset = MomentDataset(root, settings, Lag(), batch_size=24, seed=0, rank=rank, ranks=ranks, start=start)
    return list(islice(MomentLoader(dataset), 4))


def test_a_task_gets_the_moments_it_asked_for(shards: Path) -> None:
    clips = [clip for record in Dataset(shards).of_split("train") for clip in read_clips(shards, record)]
    for batch in batches(shards, 0):
        assert batch.frames.shape == (24, 32, 32, 3) and batch.sounds.shape == (24, 2, 1201)
        for sounds, clip, start, lag in zip(batch.sounds, *(column.tolist() for column in batch[2:]), strict=True):
            for sound, first, length in ((sounds[0], start, 1000), (sounds[1], start + lag, 1200 + lag % 2)):
                expected = np.frombuffer(bytes(clips[clip].samples(first, first + length)), "<i2")
                assert np.array_equal(sound[:length], expected) and not sound[length:].any()


@pytest.mark.parametrize(("ranks", "workers"), [(1, 2), (2, 0), (3, 2)])
def test_any_ranks_and_workers_give_the_same_items(shards: Path, ranks: int, workers: int) -> None:
    parts = [batches(shards, workers, rank=rank, ranks=ranks) for rank in range(ranks)]
    for whole, *step in zip(batches(shards, 0), *parts, strict=True):
        assert all(torch.equal(one, torch.cat(rest)) for one, rest in zip(whole, zip(*step, strict=True), strict=True))


def test_a_task_goes_on_from_any_step(shards: Path) -> None:
    first, later = batches(shards, 0), batches(shards, 0, start=2)
    assert all(torch.equal(*columns) for columns in zip(first[2], later[0], strict=True))
