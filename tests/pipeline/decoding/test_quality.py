"""Quality flags: real videos that have each fault, and real videos that have none, by each backend."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avcorr.pipeline.decoding.decoded import Backend
from avcorr.pipeline.decoding.quality import compared_frames, picture_quality, sound_quality
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.dataset import Dataset
from avcorr.shards.format.clip import FLAGS
from avcorr.shards.summary import describe, summarise
from tests.conftest import SMALL
from tests.pipeline.decoding.test_decode import SETTINGS, clip_of
from tests.support.tables import table_of

THREE_SECONDS = SETTINGS.model_copy(update={"clip_seconds": 3.0})
NOISE = "noise=alls=3:allf=t"
MakeFault = Callable[..., Path]


@pytest.fixture(scope="module")
def make_fault(ffmpeg: str) -> MakeFault:
    """Return a function that makes a video of a picture and a sound of lavfi."""

    def make(path: Path, picture: str, sound: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        command = [
            ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "libx264",
            "-pix_fmt", "yuv420p", "-c:a", "aac", f"file:{path}",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    return make


MOVING, TONE = "testsrc2=size=128x96:rate=10:duration=3", "sine=frequency=440:sample_rate=16000:duration=3"
FAULTS = {
    "none": (MOVING, TONE),
    "still": (f"color=gray:size=128x96:rate=10:duration=3,{NOISE}", TONE),
    "silent": (MOVING, "anullsrc=sample_rate=16000:duration=3"),
    "clipped": (MOVING, "aevalsrc='3*sin(880*t)':s=16000:d=3"),
    "uneven": ("testsrc2=size=128x96:rate=10:duration=2", TONE),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_flagged(tmp_path: Path, make_fault: MakeFault, backend: Backend, name: str) -> None:
    metadata = clip_of(make_fault(tmp_path / "a.mp4", *FAULTS[name]), backend, THREE_SECONDS).metadata
    expected = {"none": (), "uneven": ("short", "uneven")}.get(name, (name,))
    assert metadata.flags == expected
    assert metadata.frames_decoded == (20 if name == "uneven" else 30)
    assert metadata.video_duration == pytest.approx(2.0 if name == "uneven" else 3.0, abs=1e-3)
    assert abs(metadata.length_difference + (name == "uneven")) < 0.08
    assert metadata.largest_gap == pytest.approx(0.3, abs=1e-3)
    values = json.loads(metadata.to_json())
    assert all(value is not None and value != [] for value in values.values())


def test_the_span_that_was_asked_for_decides_what_is_short(
    tmp_path: Path, make_fault: MakeFault, backend: Backend
) -> None:
    path = make_fault(tmp_path / "a.mp4", *FAULTS["none"])
    assert clip_of(path, backend).metadata.short  # of ten seconds
    cut = clip_of(path, backend, seek=1.0, duration=1.0).metadata
    assert (cut.short, cut.frames_decoded, cut.video_duration) == (False, 10, 1.0)


def test_sound_is_measured_by_hand() -> None:
    samples = np.array([0, 32767, -32768, -32767, 16384, 0, 0, 0], "<i2")
    measured = sound_quality(samples.tobytes())
    assert (measured["peak"], measured["clipped"], measured["silent"]) == (1.0, 0.375, False)
    assert measured["loudness"] == pytest.approx(-3.9, abs=0.02)
    assert sound_quality(bytes(8)) == {"loudness": -120.0, "peak": 0.0, "silent": True, "clipped": 0.0}


def test_one_frame_is_a_still_picture(tmp_path: Path, make_fault: MakeFault, backend: Backend) -> None:
    clip = clip_of(make_fault(tmp_path / "a.mp4", *FAULTS["none"]), backend)
    jpegs = [bytes(clip.frame(0))]
    measured = picture_quality(jpegs, [0.0], [0.0], 10.0, 3.0)
    assert (measured["still"], measured["still_share"], measured["motion"]) == (True, 1.0, 0.0)
    assert (measured["largest_gap"], measured["video_duration"]) == (0.0, 0.1)
    assert picture_quality(jpegs * 3, [0.0, 1.0, 2.0], [0.0, 1.0, 2.0], 0.0, 2.5)["video_duration"] == 2.5


def test_flags_are_counted(tmp_path: Path, make_fault: MakeFault) -> None:
    for name, fault in FAULTS.items():
        make_fault(tmp_path / "videos" / f"{name}.mp4", *fault)
    pack(find_sources(tmp_path / "videos", test_fraction=0), tmp_path / "out", SMALL, workers=2)
    facts = summarise(tmp_path / "out")
    assert facts["flags"] == {"still": 1, "silent": 1, "clipped": 1, "short": 1, "uneven": 1}
    assert "flagged: still 1, silent 1, clipped 1, short 1, uneven 1" in describe(facts)
    flags = {
        row["key"]: tuple(row["flags"])
        for record in Dataset(tmp_path / "out").records
        for row in table_of(tmp_path / "out", record).arrow.select(["key", "flags"]).to_pylist()
    }
    assert flags == {"vnone": (), "vstill": ("still",), "vsilent": ("silent",), "vclipped": ("clipped",),
                     "vuneven": ("short", "uneven")}  # fmt: skip
    assert set(facts["flags"]) < set(FLAGS)


def test_frames_a_second_apart_and_the_last_are_compared() -> None:
    assert compared_frames([0.0]) == [0]
    assert compared_frames([0.1, 0.4]) == [0, 1]
    assert compared_frames([0.25 * number for number in range(11)]) == [0, 4, 8, 10]
    assert compared_frames([0.0, 5.0, 5.5, 6.0]) == [0, 1, 3]
