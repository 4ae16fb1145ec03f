"""CPU time of ways to make a clip's frames and sound, on the same clips and one core, in one run.

    python benchmarks/writers.py [--videos DIR] [--clips 2] [--rounds 3]

Clips of 10 s are made at 256, 360 and 720 lines: of the videos given, scaled, else half test pattern, half mandelbrot,
both with noise; x264 with B-frames, AAC. Each way gives the first frame of each 0.25 s with a short side of 256 as
JPEGs, and 16 kHz mono sound; ours also give times, quality and the tar sample. CPU time is user + system of this
process and its children, over rounds that take the ways in random order: the median, and in brackets the median of the
ratios to bare ffmpeg in the same round. PyAV runs in this process, so its workers' pipe is not counted.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.pipeline.decoding.decode import read_clip
from avcorr.pipeline.decoding.decoded import Backend
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg, ffmpeg_version, find_ffmpeg
from avcorr.pipeline.decoding.pyav import Pyav
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.find import Source
from avcorr.shards.format.tar import encode_member
from benchmarks.peers import peers
from benchmarks.shard import bare, cpu_seconds

SIZES = {"256p": (340, 256, "350k"), "360p": (640, 360, "600k"), "720p": (1280, 720, "2M")}
PICTURES = (
    "testsrc2=size={}x{}:rate=25:duration=10,noise=alls=8:allf=t",
    "mandelbrot=size={}x{}:rate=30,noise=alls=6:allf=t",
)
BARE = "bare ffmpeg, one pass"


def render(folder: Path, binary: str, size: tuple[int, int, str], number: int, video: Path | None) -> Path:
    """Make one clip: a video scaled, or a test picture."""
    width, height, rate = size
    path = folder / f"{height}-{number}.mp4"
    if video:
        made = ["-i", str(video), "-vf", f"scale={width}:{height}:flags=lanczos"]
    else:
        made = ["-f", "lavfi", "-i", PICTURES[number % 2].format(width, height),
                "-f", "lavfi", "-i", f"sine=frequency={300 + 50 * number}:sample_rate=44100"]  # fmt: skip
    command = [
        binary, "-v", "error", *made, "-t", "10", "-ac", "2", "-c:v", "libx264", "-b:v", rate, "-bf", "3", "-g", "125",
        "-pix_fmt", "yuv420p", "-c:a", "aac", f"file:{path}",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def ours(path: Path, settings: ShardSettings, backend: Backend) -> None:
    """Make the tar sample."""
    source = Source(key="vkey", path=str(path), name=path.name, video=path.name, split="train")
    clip = read_clip(source, settings, backend)
    b"".join(encode_member(name, data) for name, data in clip.members())


def two_calls(path: Path, settings: ShardSettings, binary: str, folder: Path) -> None:
    """Decode twice into temporary files and read them, as most scripts do."""
    scale = f"fps={settings.frames_per_second:g},scale={settings.short_side}:{settings.short_side}" + (
        ":force_original_aspect_ratio=increase:force_divisible_by=2"
    )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        start = [binary, "-nostdin", "-v", "error", "-threads", "1", "-i", str(path)]
        subprocess.run([*start, "-vf", scale, "-q:v", str(settings.jpeg_quality), f"{place}/%04d.jpg"], check=True)
        subprocess.run([*start, "-vn", "-ac", "1", "-ar", str(settings.sample_rate), f"{place}/a.wav"], check=True)
        for file in Path(place).iterdir():
            file.read_bytes()


def measure(function: Callable[[Path], object], paths: list[Path]) -> float:
    """Return CPU milliseconds a clip."""
    began = cpu_seconds()
    for path in paths:
        function(path)
    return 1000 * (cpu_seconds() - began) / len(paths)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    binary, settings = find_ffmpeg(), ShardSettings()
    fewer = settings.model_copy(update={"decoder": "pyav", "skip_nonref": True})
    videos = sorted(arguments.videos.glob("*.mp4"))[: arguments.clips] if arguments.videos else []
    videos += [None] * (arguments.clips - len(videos))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"ffmpeg {ffmpeg_version(binary)}, {Pyav().version}; ms CPU a clip (ratio to bare ffmpeg)\n")
        columns: list[dict[str, str]] = []
        for size in SIZES.values():
            ways: dict[str, Callable[[Path], object] | None] = {
                BARE: lambda path: bare(path, settings, binary),
                "ours, ffmpeg": lambda path: ours(path, settings, Ffmpeg(binary)),
                "ours, pyav": lambda path: ours(path, settings, Pyav()),
                "ours, pyav, skip_nonref": lambda path: ours(path, fewer, Pyav()),
                "two ffmpeg calls, files": lambda path: two_calls(path, settings, binary, folder),
            }
            shape = round(settings.short_side * size[0] / size[1] / 2) * 2, settings.short_side
            for peer, function in peers():
                ways[peer] = partial(function, settings=settings, size=shape) if function else None
            paths = [render(folder, binary, size, number, video) for number, video in enumerate(videos)]
            columns.append(compare(ways, paths, arguments.rounds))
        print("| way | " + " | ".join(SIZES) + " |\n|---" + "|---" * len(SIZES) + "|")
        for way in columns[0]:
            print(f"| {way} | " + " | ".join(column[way] for column in columns) + " |")


def compare(ways: dict[str, Callable[[Path], object] | None], paths: list[Path], rounds: int) -> dict[str, str]:
    """Return the cell of each way."""
    present = {way: function for way, function in ways.items() if function}
    for function in present.values():
        function(paths[0])  # imports and caches
    times: dict[str, list[float]] = {way: [] for way in present}
    chance = random.Random(0)
    for _ in range(rounds):
        for way in chance.sample(sorted(present), len(present)):
            times[way].append(measure(present[way], paths))
    cells = dict.fromkeys(ways, "absent")
    for way, values in times.items():
        ratio = statistics.median(one / other for one, other in zip(values, times[BARE], strict=True))
        cells[way] = f"{statistics.median(values):.0f} ({ratio:.2f})"
    return cells


if __name__ == "__main__":
    main()
