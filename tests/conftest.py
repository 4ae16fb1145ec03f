"""Media made for the tests by the real ffmpeg, and shards made of them by the real packer."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.ffmpeg import find_ffmpeg
from pipeline.pack import pack
from pipeline.settings import ShardSettings
from pipeline.sources import find_sources

MakeVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The ffmpeg that imageio-ffmpeg ships."""
    return find_ffmpeg()


@pytest.fixture(scope="session")
def make_video(ffmpeg: str) -> MakeVideo:
    """Return a function that makes a small real video with sound: a test picture and a tone."""

    def make(
        path: Path,
        *,
        seconds: float = 3.0,
        rate: int = 10,
        size: str = "128x96",
        tone: int = 440,
        extra: tuple[str, ...] = (),
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            ffmpeg, "-v", "error", "-nostdin", "-y",
            "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}",
            "-f", "lavfi", "-i", f"sine=frequency={tone}:sample_rate=16000:duration={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", *extra, f"file:{path}",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    return make


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> Path:
    """A folder of twelve videos of three seconds, in two splits."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        split = "test" if number % 3 == 2 else "train"
        make_video(folder / split / f"clip{number:02d}.mp4", tone=200 + 100 * number)
    return folder


SMALL = ShardSettings(short_side=48, clips_per_shard=4, clip_seconds=3.0)
"""Settings of the shards that the tests share."""


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """A dataset of the twelve videos; tests that damage it copy it first."""
    root = tmp_path_factory.mktemp("shards") / "root"
    summary = pack(find_sources(videos), root, SMALL, workers=2)
    assert (summary.inputs, summary.packed, summary.failed) == (12, 12, 0)
    return root
