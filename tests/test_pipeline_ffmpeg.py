"""Decoding: true times, a kept offset, every option of both generations of ffmpeg, and processes that misbehave."""

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode import jpeg_size, read_clip, split_jpegs
from pipeline.errors import DecoderError, MediaError
from pipeline.ffmpeg import decode, ffmpeg_version, find_ffmpeg
from pipeline.settings import ShardSettings
from pipeline.sources import Source
from shards.clip import Clip

from .conftest import MakeVideo

SETTINGS = ShardSettings(short_side=48)
SYSTEM = shutil.which("ffmpeg")
MEDIA = Path(__file__).parents[2] / "shared" / "media" / "clips"


def source(path: Path, *, seek: float = 0.0, duration: float = 0.0) -> Source:
    return Source("vkey", str(path), path.name, "video", "", "train", 0.0, seek, duration)


def clip_of(path: Path, ffmpeg: str, settings: ShardSettings = SETTINGS, **span: float) -> Clip:
    return read_clip(source(path, **span), settings, ffmpeg)


def true_times(path: Path) -> list[float]:
    """Return the frames' presentation times by an independent decoder, on the container's clock from 0."""
    with av.open(str(path)) as container:
        start = (container.start_time or 0) / av.time_base
        stream = container.streams.video[0]
        times = [
            float(frame.pts * stream.time_base) - start for frame in container.decode(stream) if frame.pts is not None
        ]
    return sorted(times)


def expected_times(times: list[float], rate: float = 4.0, seconds: float = 10.0) -> list[float]:
    """Return the first time in each bucket of 1/rate seconds."""
    chosen: dict[int, float] = {}
    for moment in times:
        if 0 <= round(moment, 6) < seconds:
            chosen.setdefault(int(np.floor(moment * rate + 1e-6)), moment)
    return list(chosen.values())


VARIABLE = "select='not(mod(n,3))+lt(mod(n,7),2)'"
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "constant": ("a.mp4", ()),
    "b-frames": ("a.mp4", ("-preset", "medium", "-bf", "3")),
    "variable": ("a.mp4", ("-vf", VARIABLE, "-fps_mode", "vfr")),
    "variable mkv": ("a.mkv", ("-vf", VARIABLE, "-fps_mode", "vfr")),
    "transport stream": ("a.ts", ("-vf", VARIABLE, "-fps_mode", "vfr")),
    "late start": ("a.mp4", ("-vf", "setpts=PTS+0.4/TB",)),
    "webm": ("a.webm", ("-c:v", "libvpx", "-c:a", "libopus")),
    "avi": ("a.avi", ("-c:v", "mpeg4", "-c:a", "libmp3lame")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_frame_times_are_the_containers(tmp_path: Path, make_video: MakeVideo, ffmpeg: str, name: str) -> None:
    file, options = CASES[name]
    path = make_video(tmp_path / file, seconds=4, rate=24, extra=options)
    clip = clip_of(path, ffmpeg)
    expected = expected_times(true_times(path))
    assert len(clip.metadata.frame_times) == len(expected)
    assert np.abs(np.array(clip.metadata.frame_times) - expected).max() <= 1e-5
    assert len(expected) >= 13


@pytest.mark.skipif(SYSTEM is None, reason="no ffmpeg of the system to compare with")
@pytest.mark.parametrize("name", ["variable", "transport stream"])
def test_another_ffmpeg_gives_the_same_times(tmp_path: Path, make_video: MakeVideo, ffmpeg: str, name: str) -> None:
    assert SYSTEM is not None
    file, options = CASES[name]
    path = make_video(tmp_path / file, seconds=3, rate=24, extra=options)
    ours, theirs = clip_of(path, ffmpeg), clip_of(path, SYSTEM)
    assert ours.metadata.frame_times == theirs.metadata.frame_times
    assert abs(ours.metadata.sample_count - theirs.metadata.sample_count) <= 2048
    assert theirs.metadata.ffmpeg == ffmpeg_version(SYSTEM) != ours.metadata.ffmpeg


def onset(clip: Clip) -> float:
    samples = np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2")
    return float(np.flatnonzero(np.abs(samples) > 1000)[0]) / clip.metadata.sample_rate


@pytest.mark.parametrize("file", ["late.mkv", "late.ts", "late.mp4"])
def test_late_sound_stays_late(tmp_path: Path, ffmpeg: str, file: str) -> None:
    """Sound that starts 260 ms after the picture keeps its place; losing it is what separate decoding does."""
    path = tmp_path / file
    codec = ("-c:a", "pcm_s16le") if file.endswith("mkv") else ("-c:a", "aac")
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2", "-itsoffset", "0.26",
        "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=16000:duration=1.5", "-c:v", "libx264", *codec, str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    found = onset(clip_of(path, ffmpeg))
    if file.endswith("mkv"):
        assert abs(found - 0.26) < 0.001
    else:  # the codec's own ramp; two containers agree on it to a millisecond
        with av.open(str(path)) as container:
            first = next(container.decode(audio=0))
            assert abs(found - (first.time - (container.start_time or 0) / av.time_base)) < 0.07


def test_a_span_of_a_long_video(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    path = make_video(tmp_path / "long.mp4", seconds=8, rate=24, extra=("-g", "48"))
    clip = clip_of(path, ffmpeg, seek=3.1, duration=2.0)
    assert clip.metadata.duration == 2.0
    expected = [moment - 3.1 for moment in true_times(path) if 3.1 <= moment < 5.1]
    buckets: dict[int, float] = {}
    for moment in expected:
        buckets.setdefault(int(np.floor(moment * 4 + 1e-6)), moment)
    assert np.allclose(clip.metadata.frame_times, list(buckets.values()), atol=1e-5)


def test_what_is_longer_is_cut(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=4)
    clip = clip_of(path, ffmpeg, SETTINGS.model_copy(update={"clip_seconds": 1.5}))
    assert clip.metadata.duration == 1.5 and clip.metadata.frame_times[-1] < 1.5


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ("128x96", (), (64, 48)),
        ("96x128", (), (48, 64)),
        ("128x96", ("-vf", "setsar=2/1"), (128, 48)),
        ("64x64", (), (48, 48)),
    ],
)
def test_the_short_side_is_of_the_shown_picture(
    tmp_path: Path, make_video: MakeVideo, ffmpeg: str, size: str, options: tuple[str, ...], expected: tuple[int, int]
) -> None:
    clip = clip_of(make_video(tmp_path / "a.mp4", seconds=1, size=size, extra=options), ffmpeg)
    assert (clip.metadata.width, clip.metadata.height) == expected
    assert jpeg_size(bytes(clip.frame(1))) == expected


def test_rotation_is_applied(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    upright = make_video(tmp_path / "a.mp4", seconds=1)
    turned = tmp_path / "turned.mp4"
    subprocess.run(
        [ffmpeg, "-v", "error", "-display_rotation", "90", "-i", str(upright), "-c", "copy", str(turned)], check=True
    )
    metadata = clip_of(turned, ffmpeg).metadata
    assert (metadata.width, metadata.height) == (48, 64)
    assert (metadata.source_width, metadata.source_height) == (128, 96)


def test_facts_of_the_source_and_the_sound(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    metadata = clip_of(make_video(tmp_path / "a.mp4"), ffmpeg).metadata
    assert (metadata.source_frame_rate, metadata.source_sample_rate) == (10.0, 16000)
    assert 0.1 < metadata.peak < 0.2 and -22 < metadata.loudness < -19  # lavfi's sine has an amplitude of 1/8
    assert not metadata.damaged


def test_the_same_video_gives_the_same_bytes(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    path = make_video(tmp_path / "a.mp4")
    assert clip_of(path, ffmpeg).members() == clip_of(path, ffmpeg).members()


def reason(path: Path, ffmpeg: str, settings: ShardSettings = SETTINGS) -> str:
    with pytest.raises(MediaError) as caught:
        clip_of(path, ffmpeg, settings)
    assert str(caught.value) and "\n" not in str(caught.value)
    return caught.value.code


def test_bad_files_have_reasons(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    good = make_video(tmp_path / "good.mp4").read_bytes()
    cases = {"empty": b"", "not_media": good[: len(good) // 3]}
    for code, content in cases.items():
        (tmp_path / f"{code}.mp4").write_bytes(content)
        assert reason(tmp_path / f"{code}.mp4", ffmpeg) == code
    (tmp_path / "page.mp4").write_text("<html>404</html>")
    assert reason(tmp_path / "page.mp4", ffmpeg) == "not_media"
    (tmp_path / "folder.mp4").mkdir()
    assert reason(tmp_path / "folder.mp4", ffmpeg) == "unreadable"
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert reason(tmp_path / "loop.mp4", ffmpeg) == "unreadable"
    assert reason(tmp_path / "absent.mp4", ffmpeg) == "missing"
    for code, option in {"no_audio": "-an", "no_video": "-vn"}.items():
        assert reason(make_video(tmp_path / f"{code}.mp4", extra=(option,)), ffmpeg) == code


def test_a_playlist_named_as_a_video_reads_no_other_file(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    make_video(tmp_path / "secret.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert reason(tmp_path / "list.mp4", ffmpeg) == "not_media"
    make_video(tmp_path / "secret.ts")
    (tmp_path / "hls.ts").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\nsecret.ts\n#EXT-X-ENDLIST\n")
    assert reason(tmp_path / "hls.ts", ffmpeg) == "not_media"


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
    assert time.monotonic() - began < 10
    for pid in pids.read_text().split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_flood_of_messages_neither_blocks_nor_fills_memory(tmp_path: Path) -> None:
    flood = "head -c 30000000 /dev/zero | tr '\\0' 'x' >&2"
    binary = fake(tmp_path, f"{flood}\necho >&2\necho '[fatal] gave up' >&2\nexit 1")
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(MediaError, match="gave up") as caught:
        decode(binary, tmp_path / "a.mp4", SETTINGS, duration=1.0)
    assert len(caught.value.stderr) < 5000 and caught.value.exit_code == 1


def test_an_exit_code_counts_even_after_whole_output(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert reason(tmp_path / "a.mp4", fake(tmp_path, "printf '\\xff\\xd8\\xff\\xd9'\nexit 3")) == "not_media"


def test_no_pipe_or_process_is_left_open(tmp_path: Path, make_video: MakeVideo, ffmpeg: str) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=1)
    (tmp_path / "bad.mp4").write_bytes(b"x" * 100)
    clip_of(path, ffmpeg)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        clip_of(path, ffmpeg)
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


@pytest.mark.skipif(not MEDIA.is_dir(), reason="the folder of real videos is not here")
def test_real_videos_keep_their_times(ffmpeg: str) -> None:
    """Every real video whose times PyAV can tell; where the two start to count elsewhere, the gaps must agree."""
    settings = SETTINGS.model_copy(update={"clip_seconds": 4.0})
    compared = 0
    for path in sorted(MEDIA.iterdir())[::6]:
        if path.name == "mediabunny__entry18-variant1-segment1.ts":
            continue  # its picture ends before its sound begins
        clip = clip_of(path, ffmpeg, settings)
        expected = expected_times(true_times(path), seconds=4.0)
        assert len(clip.metadata.frame_times) == len(expected), path.name
        assert np.abs(np.array(clip.metadata.frame_times) - expected).max() <= 0.0011, path.name
        compared += 1
    assert compared >= 20
