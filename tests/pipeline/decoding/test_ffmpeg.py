"""The ffmpeg backend: both generations of ffmpeg, and processes that misbehave."""

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from avcorr.pipeline.decoding.ffmpeg import Ffmpeg, ffmpeg_version, find_ffmpeg, split_jpegs
from avcorr.pipeline.errors import DecoderError, MediaError
from avcorr.pipeline.settings import ShardSettings
from tests.conftest import MakeVideo
from tests.pipeline.decoding.test_decode import CASES, SETTINGS, clip_of
from tests.pipeline.decoding.test_decode import reason as reason_of
from tests.support.hostile import widen

SYSTEM = shutil.which("ffmpeg")


def reason(path: Path, binary: str, settings: ShardSettings = SETTINGS) -> str:
    return reason_of(path, Ffmpeg(binary), settings)


@pytest.mark.skipif(SYSTEM is None, reason="no ffmpeg of the system to compare with")
@pytest.mark.parametrize("name", ["variable", "transport stream"])
def test_another_ffmpeg_gives_the_same_times(tmp_path: Path, make_video: MakeVideo, ffmpeg: str, name: str) -> None:
    assert SYSTEM is not None
    file, options = CASES[name]
    path = make_video(tmp_path / file, seconds=3, rate=24, extra=options)
    ours, theirs = clip_of(path, Ffmpeg(ffmpeg)), clip_of(path, Ffmpeg(SYSTEM))
    assert ours.metadata.frame_times == theirs.metadata.frame_times
    assert abs(ours.metadata.sample_count - theirs.metadata.sample_count) <= 2048
    assert theirs.metadata.ffmpeg == ffmpeg_version(SYSTEM) != ours.metadata.ffmpeg


def fake(tmp_path: Path, body: str) -> str:
    path = tmp_path / "ffmpeg"
    path.write_text(f'#!/bin/bash\nif [ "$1" = -version ]; then echo ffmpeg version 9.9 fake; exit; fi\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_hanging_ffmpeg_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    binary = fake(tmp_path, f"sleep 60 & echo $! > {pids}\necho $$ >> {pids}\nwait")
    (tmp_path / "a.mp4").write_bytes(b"x")
    began = time.monotonic()
    assert reason(tmp_path / "a.mp4", binary, SETTINGS.model_copy(update={"timeout_seconds": 0.5})) == "timeout"
    assert time.monotonic() - began < 30
    for pid in pids.read_text().split():
        deadline = time.monotonic() + 10  # a busy machine takes its time to end what was killed
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_running(pid)


def is_running(pid: str) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_flood_of_messages_neither_blocks_nor_fills_memory(tmp_path: Path) -> None:
    flood = "head -c 30000000 /dev/zero | tr '\\0' 'x' >&2"
    binary = fake(tmp_path, f"{flood}\necho >&2\necho '[fatal] gave up' >&2\nexit 1")
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(MediaError, match="gave up") as caught:
        Ffmpeg(binary).decode(str(tmp_path / "a.mp4"), SETTINGS, duration=1.0)
    assert len(caught.value.stderr) < 5000 and caught.value.exit_code == 1


def test_an_exit_code_counts_even_after_whole_output(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert reason(tmp_path / "a.mp4", fake(tmp_path, "printf '\\xff\\xd8\\xff\\xd9'\nexit 3")) == "not_media"


def test_an_ffmpeg_that_dies_is_no_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert reason(tmp_path / "a.mp4", fake(tmp_path, "kill -SEGV $$")) == "crashed"


def test_an_ffmpeg_that_needs_too_much_memory_is_stopped(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    """Pictures of 4096 x 4096 in a file of 30 kB decode; with a bound that is lower than elsewhere they do not."""
    path = make_video(tmp_path / "a.mp4", seconds=1)
    path.write_bytes(widen(path.read_bytes(), 4096, 4096))
    assert clip_of(path, Ffmpeg(ffmpeg)).metadata.source_width == 4096
    for less in (Ffmpeg(ffmpeg, memory_bytes=300 << 20), Ffmpeg(ffmpeg, max_pixels=2**24 - 1)):
        with pytest.raises(MediaError) as caught:
            clip_of(path, less)
        assert caught.value.code in ("crashed", "undecodable")  # codecs do not always say that it was the memory


def test_no_pipe_or_process_is_left_open(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=1)
    (tmp_path / "bad.mp4").write_bytes(b"x" * 100)
    clip_of(path, Ffmpeg(ffmpeg))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        clip_of(path, Ffmpeg(ffmpeg))
        reason(tmp_path / "bad.mp4", ffmpeg)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_wrong_ffmpeg_is_said(tmp_path: Path) -> None:
    with pytest.raises(DecoderError, match="cannot be run"):
        find_ffmpeg(str(tmp_path / "absent"))
    with pytest.raises(DecoderError, match="is no ffmpeg"):
        find_ffmpeg("/bin/true")


def test_jpegs_are_split_where_they_end() -> None:
    first, second = b"\xff\xd8abc\xff\xd9", b"\xff\xd8\xff\x00\xff\xd0d\xff\xd9"
    assert split_jpegs(first + second + first) == [first, second, first]
    assert split_jpegs(first) == [first] and split_jpegs(b"") == []
