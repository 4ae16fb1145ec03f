"""Decoding, by each backend: true times, a kept offset, an upright picture, and a reason for each bad file."""

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from avcorr.pipeline.decoding.decode import read_clip
from avcorr.pipeline.decoding.decoded import Backend
from avcorr.pipeline.decoding.pictures import jpeg_size
from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.source import Source
from avcorr.shards.format.clip import Clip
from tests.conftest import MakeVideo

SETTINGS = ShardSettings(short_side=48)
MEDIA = Path(__file__).parents[4] / "shared" / "media" / "clips"


def source(path: Path, *, seek: float = 0.0, duration: float = 0.0) -> Source:
    return Source(
        key="vkey", path=str(path), name=path.name, video="video", split="train", seek=seek, duration=duration
    )


def clip_of(path: Path, backend: Backend, settings: ShardSettings = SETTINGS, **span: float) -> Clip:
    return read_clip(source(path, **span), settings, backend)


def true_times(path: Path, until: float = float("inf")) -> list[float]:
    """Return the frames' presentation times by an independent decoder, on the container's clock from 0."""
    times: list[float] = []
    with av.open(str(path), metadata_errors="ignore") as container:
        start = (container.start_time or 0) / av.time_base
        stream = container.streams.best("video")
        assert stream is not None
        for frame in container.decode(stream):
            if frame.pts is not None:
                times.append(float(frame.pts * stream.time_base) - start)
                if times[-1] > until:
                    break
    return sorted(times)


def tick(path: Path) -> float:
    """Return the seconds of one tick of the video's time base."""
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.best("video")
        assert stream is not None and stream.time_base is not None
        return float(stream.time_base)


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
    "starts at 5 s": ("a.mkv", ("-output_ts_offset", "5")),
    "webm": ("a.webm", ("-c:v", "libvpx", "-c:a", "libopus")),
    "avi": ("a.avi", ("-c:v", "mpeg4", "-c:a", "libmp3lame")),
    "avi with aac": ("a.avi", ("-c:v", "mpeg4")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_frame_times_are_the_containers(tmp_path: Path, make_video: MakeVideo, backend: Backend, name: str) -> None:
    file, options = CASES[name]
    path = make_video(tmp_path / file, seconds=4, rate=24, extra=options)
    clip = clip_of(path, backend)
    expected = expected_times(true_times(path))
    assert len(clip.metadata.frame_times) == len(expected)
    assert np.abs(np.array(clip.metadata.frame_times) - expected).max() <= 1e-5
    assert len(expected) >= 13


def test_an_edit_list_is_obeyed(tmp_path: Path, make_video: MakeVideo, backend: Backend, ffmpeg: str) -> None:
    """A cut without encoding begins inside a group of pictures: the list hides the frames before it."""
    whole = make_video(tmp_path / "whole.mp4", seconds=5, rate=24, extra=("-preset", "medium", "-bf", "3", "-g", "48"))
    path = tmp_path / "cut.mp4"
    command = [ffmpeg, "-v", "error", "-ss", "1.3", "-i", str(whole), "-c", "copy", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with av.open(str(path)) as container:
        assert any(packet.is_discard for packet in container.demux(video=0))
    times = clip_of(path, backend).metadata.frame_times
    assert np.abs(np.array(times) - expected_times(true_times(path))).max() <= 1e-5 and len(times) >= 14


def onset(clip: Clip) -> float:
    samples = np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2")
    return float(np.flatnonzero(np.abs(samples) > 1000)[0]) / clip.metadata.sample_rate


@pytest.mark.parametrize("file", ["late.mkv", "late.ts", "late.mp4"])
def test_late_sound_stays_late(tmp_path: Path, backend: Backend, ffmpeg: str, file: str) -> None:
    """Sound that starts 260 ms after the picture keeps its place; losing it is what separate decoding does."""
    path = tmp_path / file
    codec = ("-c:a", "pcm_s16le") if file.endswith("mkv") else ("-c:a", "aac")
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2", "-itsoffset", "0.26",
        "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=16000:duration=1.5", "-c:v", "libx264", *codec, str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    found = onset(clip_of(path, backend))
    if file.endswith("mkv"):
        assert abs(found - 0.26) < 0.001
    assert abs(placed_wrong(path, clip_of(path, backend))) <= 1  # samples: 0.06 ms


def placed_wrong(path: Path, clip: Clip) -> int:
    """Return by how many samples the sound lies off its place by an independent decoder's times, of at most 40."""
    placed = np.zeros(clip.metadata.sample_count + 4096)
    with av.open(str(path)) as container:
        start = (container.start_time or 0) / av.time_base
        for frame in container.decode(audio=0):
            begin = round((frame.time - start) * 16000)
            samples = frame.to_ndarray().astype(np.float64)[0] * (1 if frame.format.name == "s16" else 32768)
            if begin >= 0:
                placed[begin : begin + len(samples)] = samples
    ours = np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2").astype(np.float64)
    size = len(ours) - 80
    apart = [np.abs(placed[40 + lag :][:size] - ours[40:][:size]).mean() for lag in range(-40, 41)]
    return int(np.argmin(apart)) - 40


SPANS: dict[str, tuple[str, ...]] = {
    "long.mp4": ("-g", "48"),
    "long.mkv": ("-preset", "medium", "-bf", "3", "-g", "96"),
    "long.ts": ("-preset", "medium", "-bf", "3", "-g", "48"),
    "long.mpg": ("-c:v", "mpeg2video", "-c:a", "mp2", "-bf", "2", "-g", "48"),
}


@pytest.mark.parametrize("file", SPANS)
@pytest.mark.parametrize("seek", [1.3, 5.5])
def test_a_span_of_a_long_video(
    tmp_path: Path, make_video: MakeVideo, backend: Backend, file: str, seek: float
) -> None:
    """From its first frame on, also where a seek does not land on a key frame."""
    path = make_video(tmp_path / file, seconds=8, rate=24, extra=SPANS[file])
    metadata = clip_of(path, backend, seek=seek, duration=2.0).metadata
    assert metadata.duration == 2.0 and not metadata.damaged and 47 <= metadata.frames_decoded <= 48
    assert np.allclose(
        metadata.frame_times, expected_times([t - seek for t in true_times(path)], seconds=2.0), atol=1e-5
    )


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_the_sound_of_a_span_lies_where_it_does_in_the_whole(
    tmp_path: Path, backend: Backend, ffmpeg: str, rate: int
) -> None:
    """Whatever the source's sample rate: a rising tone, cut at 1.3 s, fits the whole's to a sample."""
    path = tmp_path / "a.mkv"
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=4", "-f", "lavfi", "-i",
        f"aevalsrc='0.5*sin(300*t*t)':s={rate}:d=4", "-c:v", "libx264", "-c:a", "pcm_s16le", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    whole, span = (
        np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2").astype(np.float64)
        for clip in (clip_of(path, backend), clip_of(path, backend, seek=1.3, duration=2.0))
    )
    assert len(span) == 32000
    apart = [np.abs(whole[20800 + lag + 100 :][:31000] - span[100:31100]).mean() for lag in range(-20, 21)]
    assert abs(int(np.argmin(apart)) - 20) <= 1 and min(apart) < 0.03 * np.abs(span).mean()


def test_what_is_longer_is_cut(tmp_path: Path, make_video: MakeVideo, backend: Backend) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=4)
    clip = clip_of(path, backend, SETTINGS.model_copy(update={"clip_seconds": 1.5}))
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
    tmp_path: Path,
    make_video: MakeVideo,
    backend: Backend,
    size: str,
    options: tuple[str, ...],
    expected: tuple[int, int],
) -> None:
    clip = clip_of(make_video(tmp_path / "a.mp4", seconds=1, size=size, extra=options), backend)
    assert (clip.metadata.width, clip.metadata.height) == expected
    assert jpeg_size(bytes(clip.frame(1))) == expected


def test_rotation_is_applied(tmp_path: Path, make_video: MakeVideo, backend: Backend, ffmpeg: str) -> None:
    upright = make_video(tmp_path / "a.mp4", seconds=1)
    turned = tmp_path / "turned.mp4"
    subprocess.run(
        [ffmpeg, "-v", "error", "-display_rotation", "90", "-i", str(upright), "-c", "copy", str(turned)], check=True
    )
    metadata = clip_of(turned, backend).metadata
    assert (metadata.width, metadata.height) == (48, 64)
    assert (metadata.source_width, metadata.source_height) == (128, 96)


def test_facts_of_the_source_and_the_sound(tmp_path: Path, make_video: MakeVideo, backend: Backend) -> None:
    metadata = clip_of(make_video(tmp_path / "a.mp4"), backend).metadata
    assert (metadata.source_frame_rate, metadata.source_sample_rate) == (10.0, 16000)
    assert 0.1 < metadata.peak < 0.2 and -22 < metadata.loudness < -19  # lavfi's sine has an amplitude of 1/8
    assert not metadata.damaged


def test_the_same_video_gives_the_same_bytes(tmp_path: Path, make_video: MakeVideo, backend: Backend) -> None:
    path = make_video(tmp_path / "a.mp4")
    assert clip_of(path, backend).members() == clip_of(path, backend).members()


def reason(path: Path, backend: Backend, settings: ShardSettings = SETTINGS) -> str:
    with pytest.raises(MediaError) as caught:
        clip_of(path, backend, settings)
    assert str(caught.value) and "\n" not in str(caught.value)
    return caught.value.code


def test_bad_files_have_reasons(tmp_path: Path, make_video: MakeVideo, backend: Backend) -> None:
    good = make_video(tmp_path / "good.mp4").read_bytes()
    cases = {"empty": b"", "not_media": good[: len(good) // 3]}
    for code, content in cases.items():
        (tmp_path / f"{code}.mp4").write_bytes(content)
        assert reason(tmp_path / f"{code}.mp4", backend) == code
    (tmp_path / "page.mp4").write_text("<html>404</html>")
    assert reason(tmp_path / "page.mp4", backend) == "not_media"
    (tmp_path / "folder.mp4").mkdir()
    assert reason(tmp_path / "folder.mp4", backend) == "unreadable"
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    assert reason(tmp_path / "loop.mp4", backend) == "unreadable"
    assert reason(tmp_path / "absent.mp4", backend) == "missing"
    for code, option in {"no_audio": "-an", "no_video": "-vn"}.items():
        assert reason(make_video(tmp_path / f"{code}.mp4", extra=(option,)), backend) == code


def test_a_playlist_named_as_a_video_reads_no_other_file(
    tmp_path: Path, make_video: MakeVideo, backend: Backend
) -> None:
    make_video(tmp_path / "secret.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert reason(tmp_path / "list.mp4", backend) == "not_media"
    make_video(tmp_path / "secret.ts")
    (tmp_path / "hls.ts").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\nsecret.ts\n#EXT-X-ENDLIST\n")
    assert reason(tmp_path / "hls.ts", backend) == "not_media"


@pytest.mark.skipif(not MEDIA.is_dir(), reason="the folder of real videos is not here")
def test_real_videos_keep_their_times(backend: Backend) -> None:
    """Every real video: each stored time is within a tick of what an independent decoder tells of the same frame."""
    settings, compared = SETTINGS.model_copy(update={"clip_seconds": 2.0}), 0
    for path in sorted(MEDIA.iterdir()):
        expected = expected_times(true_times(path, until=3.0), seconds=2.0)
        if not expected:
            assert reason(path, backend, settings) == "no_frames", path.name
            continue
        times = clip_of(path, backend, settings).metadata.frame_times
        assert len(times) == len(expected), path.name
        assert np.abs(np.array(times) - expected).max() <= tick(path) + 1e-6, path.name
        compared += 1
    assert compared >= 0.9 * len(list(MEDIA.iterdir()))
