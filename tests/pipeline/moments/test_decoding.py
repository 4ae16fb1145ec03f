"""Other ways to decode: only what a crop needs, or on the device that trains. The pairs are the same."""

import io
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from avcorr.pipeline.errors import PairError
from avcorr.pipeline.moments import turbojpeg
from avcorr.pipeline.moments.jpegs import JpegBatch, place_crops
from avcorr.pipeline.moments.loader import PairLoader
from avcorr.pipeline.moments.sampler import PairDataset
from avcorr.pipeline.moments.views import decode_frames
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
    rest = torch.zeros(len(jpegs))
    batch = JpegBatch(*place_crops(jpegs, crops, size), rest, rest, rest, rest)
    return batch.decode(torch.device(device)).frames.cpu().numpy()


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "Gray"])
@pytest.mark.parametrize("width, height", [(171, 128), (96, 131), (320, 256)])
def test_a_crop_has_the_pixels_that_the_whole_frame_has_there(width: int, height: int, subsampling: str) -> None:
    pixels = picture(width, height)
    if subsampling == "Gray":
        jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels[..., :1]), 90, "GRAY", "Gray")
    else:
        jpeg = simplejpeg.encode_jpeg(pixels, 90, "RGB", subsampling)
    crops = np.random.default_rng(0).random((40, 2))
    crops[:2] = [[0, 0], [1 - 1e-9, 1 - 1e-9]]
    for size in (90, 48, 32, 16):  # of the whole frame, and of frames scaled by n/8
        out = np.empty((40, size, size, 3), np.uint8)
        decode_frames([jpeg] * 40, crops, out, crop_only=True)
        assert np.array_equal(out, whole([jpeg] * 40, crops, size))


def test_a_crop_of_a_progressive_jpeg_too() -> None:
    file = io.BytesIO()
    Image.fromarray(picture(171, 128)).save(file, "JPEG", progressive=True)
    crops = np.random.default_rng(0).random((8, 2))
    out = np.empty((8, 64, 64, 3), np.uint8)
    decode_frames([file.getvalue()] * 8, crops, out, crop_only=True)
    assert np.array_equal(out, whole([file.getvalue()] * 8, crops, 64))


def test_frames_that_are_too_small_or_no_jpeg_are_named(shards: Path) -> None:
    jpeg = bytes(clips_of(shards, "train")[0].frame(4))
    crops, out = np.full((2, 2), 0.5), np.empty((2, 32, 32, 3), np.uint8)
    for bad in (b"none", jpeg[: len(jpeg) // 3], b""):
        with pytest.raises(ValueError) as caught:
            decode_frames([jpeg, bad], crops, out, crop_only=True)
        assert caught.value.args[1] == 1
    decode_frames([jpeg] * 2, crops, out, crop_only=True)  # the decoder is as good as before
    assert np.array_equal(out, whole([jpeg] * 2, crops, 32))
    large = np.empty((2, 64, 64, 3), np.uint8)
    with pytest.raises(PairError, match=r"frames of 64 x 48 pixels are smaller than pairs\.frame_size = 64"):
        decode_frames([jpeg] * 2, crops, large, crop_only=True)
    with pytest.raises(PairError, match=r"frames of 64 x 48 pixels are smaller than pairs\.frame_size = 64"):
        place_crops([jpeg] * 2, crops, 64)


def test_without_the_library_the_way_out_is_said(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turbojpeg, "_candidates", lambda: iter(["libno-such-library.so"]))
    turbojpeg.load_library.cache_clear()
    settings = PairSettings(frame_size=32, decode="crop", workers=0)
    with pytest.raises(PairError, match=r"libjpeg-turbo 3, which is not here; .*pip install 'avcorr\[crop\]'"):
        PairDataset(shards, settings, batch_size=16, seed=0)
    turbojpeg.load_library.cache_clear()


def luma(frames: torch.Tensor) -> torch.Tensor:
    """Return the brightness (B, S, S) of frames, which interpolated chroma hardly changes."""
    return frames.float() @ torch.tensor([0.299, 0.587, 0.114])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [32, 16])
def test_the_pairs_are_the_same_whatever_decodes_them(shards: Path, workers: int, size: int) -> None:
    plain = batches(shards, 5, frame_size=size)
    cropped = batches(shards, 5, frame_size=size, decode="crop", workers=workers)
    later = batches(shards, 5, frame_size=size, decode="device", workers=workers)
    for one, two, three in zip(plain, cropped, later, strict=True):
        assert all(torch.equal(*columns) for columns in zip(one, two, strict=True))
        assert all(torch.equal(*columns) for columns in zip(one[1:], three[1:], strict=True))
        assert three.frames.shape == one.frames.shape and three.frames.dtype == torch.uint8
        near, far = (luma(three.frames) - luma(one.frames).roll(shift, 0) for shift in (0, 1))
        assert 4 * near.abs().mean() < far.abs().mean()


def test_a_run_goes_on_with_another_decoder(shards: Path) -> None:
    plain = batches(shards, 9)
    loader = loader_of(shards, decode="device")
    list(islice(loader, 4))
    other = loader_of(shards, decode="crop", workers=2)
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


@pytest.mark.parametrize("decode", ["crop", "device"])
def test_a_shard_with_frames_that_are_no_jpegs_is_passed_over(tmp_path: Path, shards: Path, decode: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    message = damage(root, "no JPEG")
    with pytest.raises(ShardFormatError, match=message):
        batches(root, 30, decode=decode)
    loader = loader_of(root, decode=decode, max_bad_shards=1)
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
    settings = PairSettings(frame_size=size, window_clips=4, workers=0, decode="device")
    found = {}
    for device in ("cpu", "cuda"):
        dataset = PairDataset(shards, settings, batch_size=16, seed=0)
        found[device] = list(islice(PairLoader(dataset, device=torch.device(device)), 3))
    for one, two in zip(found["cpu"], found["cuda"], strict=True):
        assert two.frames.is_cuda and two.frames.shape == one.frames.shape
        assert (two.frames.cpu().float() - one.frames).abs().mean() < 2  # nvJPEG rounds in its own way
        assert torch.equal(one.audio, two.audio.cpu()) and torch.equal(one.videos, two.videos.cpu())
