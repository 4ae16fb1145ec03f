"""The PyAV backend: the frames and sound that ffmpeg gives, and workers that may crash, hang or be killed."""

import multiprocessing
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from avcorr.configs.load import ConfigError, load_config
from avcorr.pipeline.decoding import workers
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg
from avcorr.pipeline.decoding.pictures import jpeg_quality
from avcorr.pipeline.decoding.pyav import Pyav
from avcorr.pipeline.decoding.workers import Workers
from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.format.clip import Clip
from avcorr.shards.reader import read_clips
from tests.conftest import SMALL, MakeVideo
from tests.pipeline.decoding.test_decode import SETTINGS, clip_of, source
from tests.support.harm import serve_harm

PYAV = SETTINGS.model_copy(update={"decoder": "pyav"})


def sound(clip: Clip) -> np.ndarray:
    return np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2").astype(np.float64)


def delay(first: np.ndarray, second: np.ndarray, reach: int = 64) -> int:
    """Return by how many samples `second` must be moved to fit `first` best."""
    size = min(len(first), len(second)) - 2 * reach
    window = first[reach : reach + size]
    return max(range(-reach, reach + 1), key=lambda lag: float(np.dot(window, second[reach + lag :][:size])))


TURNS = ("0", "90", "180", "-90")
FLIPS = {"flip": ("-display_hflip",), "turn and flip": ("-display_rotation", "90", "-display_vflip")}


@pytest.mark.parametrize("name", [*TURNS, *FLIPS])
def test_both_backends_show_the_same_picture(tmp_path: Path, make_video: MakeVideo, ffmpeg: str, name: str) -> None:
    upright, turned = make_video(tmp_path / "a.mp4", seconds=1), tmp_path / "turned.mp4"
    option = FLIPS.get(name, ("-display_rotation", name))
    command = [ffmpeg, "-v", "error", *option, "-i", str(upright), "-c", "copy", str(turned)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    one, other = (clip_of(turned, backend) for backend in (Ffmpeg(ffmpeg), Pyav()))
    assert one.metadata.frame_times == other.metadata.frame_times
    first, second = (simplejpeg.decode_jpeg(bytes(clip.frame(0))).astype(int) for clip in (one, other))
    assert first.shape == second.shape and np.abs(first - second).mean() < 8


def test_both_backends_lay_the_sound_alike(tmp_path: Path, ffmpeg: str) -> None:
    """A chirp with a hole of 0.7 s in its timestamps, starting late, in 44.1 kHz stereo."""
    path = tmp_path / "hole.mkv"
    chirp = "aevalsrc='0.5*sin(300*t*t)|0.3*sin(300*t*t)':s=44100:d=4,asetpts=PTS+gt(T\\,1.5)*0.7/TB"
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=4", "-itsoffset", "0.2",
        "-f", "lavfi", "-i", chirp, "-c:v", "libx264", "-c:a", "pcm_s16le", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    for span in ({}, {"seek": 1.0, "duration": 2.5}):
        one, other = (sound(clip_of(path, backend, **span)) for backend in (Ffmpeg(ffmpeg), Pyav()))
        assert abs(len(one) - len(other)) <= 16 and abs(delay(one, other)) <= 1
        assert abs(delay(one[-8000:], other[-8000:])) <= 8  # half a millisecond, after the hole too
    one = sound(clip_of(path, Pyav()))
    assert not one[:3150].any() and one[3300:20000].any() and not one[28500:38000].any() and one[40000:].any()


def test_encrypted_streams_are_not_decoded_to_noise(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    key = ("-encryption_key", "00112233445566778899aabbccddeeff", "-encryption_kid", "ff" * 16)
    path = make_video(tmp_path / "a.mp4", seconds=1, extra=("-encryption_scheme", "cenc-aes-ctr", *key))
    for backend in (Ffmpeg(ffmpeg), Pyav()):
        with pytest.raises(MediaError) as caught:
            clip_of(path, backend)
        assert caught.value.code in ("encrypted", "undecodable")  # newer FFmpegs do not tell the one from the other


def test_reference_frames_alone_are_frames_of_the_source(tmp_path: Path, make_video: MakeVideo) -> None:
    extra = ("-preset", "medium", "-bf", "3", "-b_strategy", "0")
    path = make_video(tmp_path / "a.mp4", rate=24, extra=extra)
    fewer = PYAV.model_copy(update={"skip_nonref": True})
    one, other = clip_of(path, Pyav(), PYAV).metadata, clip_of(path, Pyav(), fewer).metadata
    assert other.frames_decoded < 0.8 * one.frames_decoded
    assert len(other.frame_times) == len(one.frame_times)
    ticks = np.array(other.frame_times) * 24
    assert np.abs(ticks - ticks.round()).max() < 1e-4
    assert all(0 <= late - early < 0.17 for early, late in zip(one.frame_times, other.frame_times, strict=True))
    assert (one.decoder, one.skip_nonref, other.skip_nonref) == ("pyav", False, True)


def test_skipping_needs_pyav() -> None:
    with pytest.raises(ConfigError, match="needs decoder: pyav"):
        load_config(None, ["shard.skip_nonref=true"])
    assert load_config(None, ["shard.skip_nonref=true", "shard.decoder=pyav"]).shard.skip_nonref


def test_the_quantisers_of_both_encoders_are_matched() -> None:
    assert [jpeg_quality(quantiser) for quantiser in (2, 3, 8, 31)] == [92, 87, 66, 19]


def test_packing_with_pyav(tmp_path: Path, videos: Path, shards: Path) -> None:
    settings = SMALL.model_copy(update={"decoder": "pyav"})
    found = find_sources(videos)
    for name, count in (("one", 1), ("three", 3)):
        summary = pack(found, tmp_path / name, settings, workers=count)
        assert (summary.inputs, summary.packed, summary.failed) == (12, 12, 0)
    assert not multiprocessing.active_children()
    assert list(verify(tmp_path / "one", full=True)) == []
    mine, others, ffmpegs = (Dataset(root).records for root in (tmp_path / "one", tmp_path / "three", shards))
    assert [record.sha256 for record in mine] == [record.sha256 for record in others]
    for record, expected in zip(mine, ffmpegs, strict=True):
        for clip, other in zip(read_clips(tmp_path / "one", record), read_clips(shards, expected), strict=True):
            assert clip.metadata.frame_times == other.metadata.frame_times
            assert "libavcodec" in clip.metadata.ffmpeg
    with pytest.raises(DatasetMismatchError, match="decoder: 'pyav' there, 'ffmpeg' now"):
        pack(found, tmp_path / "one", SMALL, workers=1)


HARM = {"segfault": ("crashed", "SIGSEGV"), "exit": ("crashed", "exit code 3"), "memory": ("crashed", "4 GiB"),
        "hang": ("timeout", "timeout_seconds = 1"), "half": ("timeout", "timeout_seconds = 1")}  # fmt: skip


def test_a_worker_that_dies_costs_one_clip(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_serve", serve_harm)
    monkeypatch.setattr(workers, "_CLIPS_BEFORE_RENEWAL", 2)
    good = make_video(tmp_path / "good.mp4", seconds=1)
    decoder = Workers(PYAV.model_copy(update={"timeout_seconds": 1.0}))
    try:
        for name, (code, message) in HARM.items():
            (tmp_path / f"{name}.mp4").write_bytes(b"x")
            with pytest.raises(MediaError, match=message) as caught:
                decoder.read(source(tmp_path / f"{name}.mp4"))
            assert caught.value.code == code
        first = decoder.read(source(good))
        assert all(decoder.read(source(good)).members() == first.members() for _ in range(2))
    finally:
        decoder.close()
    assert not multiprocessing.active_children()


def test_stopping_ends_those_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_serve", serve_harm)
    (tmp_path / "hang.mp4").write_bytes(b"x")
    decoder, caught = Workers(PYAV), []

    def read() -> None:
        try:
            decoder.read(source(tmp_path / "hang.mp4"))
        except MediaError as error:
            caught.append(error.code)

    thread = threading.Thread(target=read)
    thread.start()
    while not any(worker.served for worker in decoder._all):
        time.sleep(0.02)
    decoder.stop()
    thread.join(20)
    decoder.close()
    assert caught == ["crashed"] and not multiprocessing.active_children()
