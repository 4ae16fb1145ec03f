"""The stage for people's own webdataset pipelines."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import webdataset
from PIL import Image

from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.format.clip import Clip
from avcorr.shards.reader import read_clips
from avcorr.webdataset import decode

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def tars_and_clips(shards: Path) -> tuple[list[str], dict[str, Clip]]:
    records = Dataset(shards).of_split("train")
    clips = {clip.key: clip for record in records for clip in read_clips(shards, record)}
    return [str(shards / record.path) for record in records], clips


def test_a_pipeline_gives_frames_sound_and_metadata(shards: Path) -> None:
    tars, clips = tars_and_clips(shards)
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).map(decode()))
    assert [sample["__key__"] for sample in samples] == list(clips)
    for sample in samples:
        clip = clips[sample["__key__"]]
        assert sample["frames"].shape == (clip.metadata.frame_count, clip.metadata.height, clip.metadata.width, 3)
        expected = np.asarray(Image.open(io.BytesIO(clip.frame(3))))
        assert np.abs(sample["frames"][3].astype(int) - expected).max() <= 3  # two versions of libjpeg
        assert sample["times"].tolist() == clip.metadata.frame_times
        assert (sample["audio"] == soundfile.read(io.BytesIO(clip.wav), dtype="int16", always_2d=True)[0]).all()
        assert sample["json"]["key"] == clip.key and "wav" not in sample


def test_only_chosen_frames_are_decoded_by_workers_too(shards: Path) -> None:
    tars, clips = tars_and_clips(shards)
    stage = decode("jpeg", choose=_middle, dtype="float32")
    pipeline = webdataset.WebDataset(tars, shardshuffle=False, nodesplitter=webdataset.split_by_node).map(stage)
    found = list(torch.utils.data.DataLoader(pipeline, batch_size=None, num_workers=2))
    assert {sample["__key__"] for sample in found} == set(clips)
    for sample in found:
        clip = clips[sample["__key__"]]
        middle = clip.metadata.frame_count // 2
        assert sample["frames"] == [bytes(clip.frame(middle))]
        assert sample["times"].tolist() == [clip.metadata.frame_times[middle]]
        assert str(sample["audio"].dtype).endswith("float32") and float(abs(sample["audio"]).max()) <= 1


def _middle(times: np.ndarray) -> list[int]:
    return [len(times) // 2]


def test_a_sample_of_something_else_is_named() -> None:
    with pytest.raises(ShardFormatError, match="sample a lacks its member 'wav'"):
        decode()({"__key__": "a", "json": b"{}"})
    with pytest.raises(ShardFormatError, match="sample a cannot be decoded"):
        decode()({"__key__": "a", "json": b"{}", "wav": b"", "mjpg": b""})
