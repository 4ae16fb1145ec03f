"""Clips that follow each other: how many, where they begin, what they are called, and lengths that no header tells."""

import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

import avcorr
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.packing.prepare import clip_count, read_sources
from avcorr.pipeline.settings import ShardSettings
from tests.conftest import MakeVideo

SETTINGS = ShardSettings(short_side=48, clip_seconds=2.0, consecutive=True, test_fraction=0)
RECORDED = {
    "webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    "matroska": ("-c:v", "libx264", "-c:a", "aac"),
    "asf": ("-c:v", "wmv2", "-c:a", "wmav2"),
}


def record(ffmpeg: str, path: Path, kind: str, seconds: float) -> None:
    """Write a file as a recorder does that cannot go back: no duration and no index."""
    command = [
        ffmpeg, "-v", "error", "-nostdin", "-f", "lavfi", "-i", f"testsrc2=size=64x48:rate=25:duration={seconds}",
        "-f", "lavfi", "-i", f"sine=duration={seconds}", *RECORDED[kind], "-f", kind, "pipe:1",
    ]  # fmt: skip
    path.write_bytes(subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout)


@pytest.mark.parametrize("kind", RECORDED)
def test_a_length_that_no_header_tells_is_read(tmp_path: Path, ffmpeg: str, kind: str) -> None:
    path = tmp_path / {"webm": "a.webm", "matroska": "a.mkv", "asf": "a.wmv"}[kind]
    record(ffmpeg, path, kind, 7)
    said = subprocess.run([ffmpeg, "-i", str(path)], capture_output=True, text=True).stderr
    assert "Duration: N/A" in said
    summary = pack(read_sources(path, None, SETTINGS), tmp_path / "root", SETTINGS, workers=2)
    assert (summary.packed, summary.failed) == (4, 0)
    dataset = avcorr.open(tmp_path / "root")
    clips = sorted((clip.metadata for clip in dataset.read(list(dataset.clips()))), key=lambda clip: clip.start)
    assert [clip.start for clip in clips] == [0, 2, 4, 6]
    assert [clip.duration for clip in clips] == pytest.approx([2, 2, 2, 1], abs=0.1)  # codecs pad
    assert [clip.frame_count for clip in clips[:3]] == [8, 8, 8] and max(clip.frame_times[0] for clip in clips) < 0.05


@pytest.mark.parametrize(
    ("stride", "starts"), [(0.0, [0, 2, 4, 6]), (0.5, [x / 2 for x in range(11)]), (3.0, [0, 3, 6]), (5.0, [0, 5])]
)
def test_strides_overlap_and_leave_gaps(
    tmp_path: Path, make_video: MakeVideo, stride: float, starts: list[float]
) -> None:
    make_video(tmp_path / "videos" / "a.mp4", seconds=7)
    settings = SETTINGS.model_copy(update={"stride_seconds": stride})
    sources = read_sources(tmp_path / "videos", None, settings).sources
    assert [source.seek for source in sources] == starts == [source.start for source in sources]
    assert len({source.key for source in sources}) == len(starts)
    assert {source.video for source in sources} == {"a.mp4"}


def test_a_span_of_a_list_is_cut_by_the_stride(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,start,end\na.mp4,10,15.5\n")
    settings = SETTINGS.model_copy(update={"stride_seconds": 1.5})
    sources = read_sources(tmp_path / "list.csv", None, settings).sources
    assert [(source.seek, source.duration) for source in sources] == [(10, 2), (11.5, 2), (13, 2)]


@pytest.mark.parametrize(
    ("seconds", "stride", "count"),
    [(10, 2, 5), (10.9, 2, 5), (11, 2, 6), (0.3, 2, 1), (10, 1, 9), (10.9, 1, 9), (11, 1, 10), (10, 4, 3), (8.9, 4, 2)],
)
def test_a_rest_counts_where_a_second_of_it_is_in_no_other_clip(seconds: float, stride: float, count: int) -> None:
    assert clip_count(seconds, 2.0, stride) == count


def test_a_stride_needs_consecutive() -> None:
    with pytest.raises(ValidationError, match="stride_seconds needs consecutive: true"):
        ShardSettings(stride_seconds=1.0)
