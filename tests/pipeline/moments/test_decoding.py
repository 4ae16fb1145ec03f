"""Decoding in the workers or on the device that trains. The pairs are the same."""

import io
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image
from pydantic import ValidationError

from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.moments.jpegs import place_crops
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.moments.views import BadFrameError, decode_frames
from avcorr.pipeline.settings import PairSettings
from avcorr.shards.errors import ShardFormatError
from tests.pipeline.moments.test_sampler import batches, clips_of, damage, loader_of

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def picture(width: int, height: int) -> np.ndarray:
    """Return a smooth picture with some noise, uint8 (H, W, 3)."""
    rows, columns = np.mgrid[:height, :width] / 40
    waves = np.stack([np.sin(rows + 1), np.cos(columns), np.sin(rows * columns / 9)], axis=2)
    noise = np.random.default_rng(width).normal(0, 6, waves.shape)
    return (127 + 100 * waves + noise).clip(0, 255).astype(np.uint8)


def whole(jpegs: list[bytes], crops: np.ndarray, size: int) -> np.ndarray:
    out = np.empty((len(jpegs), size, size, 3), np.uint8)
    decode_frames(jpegs, crops, out)
    return out


def on_device(jpegs: list[bytes], crops: np.ndarray, size: int, device: str = "cpu") -> np.ndarray:
    return place_crops(jpegs, crops, size).decode(torch.device(device)).cpu().numpy()


def test_frames_that_are_too_small_or_no_jpeg_are_named(shards: Path) -> None:
    jpeg = bytes(clips_of(shards, "train")[0].frame(4))
    crops, out = np.full((2, 2), 0.5), np.empty((2, 32, 32, 3), np.uint8)
    for bad in (b"none", jpeg[: len(jpeg) // 3], b""):
        with pytest.raises(BadFrameError) as caught:
            decode_frames([jpeg, bad], crops, out)
        assert caught.value.number == 1
    decode_frames([jpeg] * 2, crops, out)  # the decoder is as good as before
    assert np.array_equal(out, whole([jpeg] * 2, crops, 32))
    large = np.empty((2, 64, 64, 3), np.uint8)
    with pytest.raises(PairError, match=r"frames of 64 x 48 pixels are smaller than pairs\.frame_size = 64"):
        decode_frames([jpeg] * 2, crops, large)
    with pytest.raises(PairError, match=r"frames of 64 x 48 pixels are smaller than pairs\.frame_size = 64"):
        place_crops([jpeg] * 2, crops, 64)


def test_a_setting_of_old_is_told_the_way_out() -> None:
    with pytest.raises(ValidationError, match="decode: crop is gone, .*; decode: frame gives the same pixels"):
        PairSettings.model_validate({"decode": "crop"})
    with pytest.raises(ValidationError, match="window_clips is called block_clips now"):
        PairSettings.model_validate({"window_clips": 64})


def luma(frames: torch.Tensor) -> torch.Tensor:
    """Return the brightness (B, S, S) of frames, which interpolated chroma hardly changes."""
    return frames.float() @ torch.tensor([0.299, 0.587, 0.114])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [32, 16])
def test_the_pairs_are_the_same_whatever_decodes_them(shards: Path, workers: int, size: int) -> None:
    plain = batches(shards, 5, frame_size=size)
    later = batches(shards, 5, frame_size=size, decode="device", workers=workers)
    for one, two in zip(plain, later, strict=True):
        assert all(torch.equal(*columns) for columns in zip(one[1:], two[1:], strict=True))
        assert two.frames.shape == one.frames.shape and two.frames.dtype == torch.uint8
        near, far = (luma(two.frames) - luma(one.frames).roll(shift, 0) for shift in (0, 1))
        assert 4 * near.abs().mean() < far.abs().mean()


def test_a_run_goes_on_with_another_decoder(shards: Path) -> None:
    plain = batches(shards, 9)
    loader = loader_of(shards, decode="device")
    list(islice(loader, 4))
    other = loader_of(shards, decode="frame", workers=2)
    other.load_state_dict(loader.state_dict())
    for one, two in zip(plain[4:], islice(other, 5), strict=True):
        assert all(torch.equal(*columns) for columns in zip(one, two, strict=True))


def test_the_device_decodes_as_an_accurate_decoder_does() -> None:
    jpegs = [simplejpeg.encode_jpeg(picture(171, 128 + extra), 90, "RGB", "420") for extra in range(3)]
    crops = np.random.default_rng(1).random((3, 2))
    found = on_device(jpegs, crops, 112)
    boxes = place_crops(jpegs, crops, 112).boxes.tolist()
    for jpeg, frame, (top, left, side) in zip(jpegs, found, boxes, strict=True):
        expected = np.asarray(Image.open(io.BytesIO(jpeg)))[top : top + side, left : left + side].astype(int)
        assert np.abs(expected - frame).max() <= 1
    small = on_device(jpegs, crops, 40).astype(int)  # scaled down after decoding instead of by the DCT
    assert np.abs(small - whole(jpegs, crops, 40)).mean() < 4


def test_a_shard_with_frames_that_are_no_jpegs_is_passed_over(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    message = damage(root, "no JPEG")
    with pytest.raises(ShardFormatError, match=message):
        batches(root, 30, decode="device")
    loader = loader_of(root, decode="device", max_bad_shards=1)
    found = list(islice(loader, 10))
    assert len(found) == 10 and list(loader.bad_shards) == ["train/clips-train-000001.tar"]
    plain = loader_of(root, max_bad_shards=1)
    for one, two in zip(islice(plain, 10), found, strict=True):
        assert torch.equal(one.videos, two.videos) and torch.equal(one.audio, two.audio)


def test_what_only_the_device_finds_is_said_in_one_line(shards: Path) -> None:
    jpeg = bytes(clips_of(shards, "train")[0].frame(4))
    broken = jpeg[:-400] + b"\xff\xd8" * 200  # good as far as place_crops looks
    with pytest.raises(ShardFormatError, match=r"a stored frame is no JPEG \(.*\); avcorr verify --full") as caught:
        on_device([jpeg, broken], np.full((2, 2), 0.5), 32)
    assert "\n" not in str(caught.value)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("size", [32, 16])
def test_a_gpu_decodes_the_same_pairs(shards: Path, size: int) -> None:
    settings = PairSettings(frame_size=size, block_clips=4, workers=0, decode="device")
    found = {}
    for device in ("cpu", "cuda"):
        dataset = PairDataset(shards, settings, batch_size=16, seed=0)
        found[device] = list(islice(MomentLoader(dataset, device=torch.device(device)), 3))
    for one, two in zip(found["cpu"], found["cuda"], strict=True):
        assert two.frames.is_cuda and two.frames.shape == one.frames.shape
        assert (two.frames.cpu().float() - one.frames).abs().mean() < 2  # nvJPEG rounds in its own way
        assert torch.equal(one.audio, two.audio.cpu()) and torch.equal(one.videos, two.videos.cpu())
