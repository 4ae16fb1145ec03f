"""CPU time of ways to make a clip's frames and sound, on the same clips and one core, in one run.

    python benchmarks/writers.py [--clips 2] [--rounds 3]

Clips of 10 s are rendered at 256, 360 and 720 lines (half test pattern, half mandelbrot, both with noise; x264 with
B-frames, AAC). Each way gives the first frame of each 0.25 s with a short side of 256 as JPEGs, and 16 kHz mono sound;
ours also give times, quality and the tar sample. CPU time is user + system of this process and its children, the
median over rounds that take the ways in turn; PyAV runs in this process, so its workers' pipe is not counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.shard import bare, cpu_seconds
from pipeline.decode import read_clip
from pipeline.decoded import Backend
from pipeline.ffmpeg import Ffmpeg, ffmpeg_version, find_ffmpeg
from pipeline.pyav import Pyav
from pipeline.settings import ShardSettings
from pipeline.sources import Source
from shards.tar import encode_member

SIZES = {"256p": ("340x256", "350k"), "360p": ("640x360", "600k"), "720p": ("1280x720", "2M")}
PICTURES = (
    "testsrc2=size={}:rate=25:duration=10,noise=alls=8:allf=t",
    "mandelbrot=size={}:rate=30,noise=alls=6:allf=t",
)


def render(folder: Path, binary: str, size: str, rate: str, number: int) -> Path:
    """Make one clip."""
    path = folder / f"{size}-{number}.mp4"
    command = [
        binary, "-v", "error", "-f", "lavfi", "-i", PICTURES[number % 2].format(size), "-f", "lavfi", "-i",
        f"sine=frequency={300 + 50 * number}:sample_rate=44100", "-t", "10", "-ac", "2", "-c:v", "libx264", "-b:v",
        rate, "-bf", "3", "-g", "125", "-pix_fmt", "yuv420p", "-c:a", "aac", f"file:{path}",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def ours(path: Path, settings: ShardSettings, backend: Backend) -> None:
    """Make the tar sample."""
    source = Source("vkey", str(path), path.name, path.name, "", "train", 0.0, 0.0, 0.0)
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


def torchcodec(path: Path, settings: ShardSettings) -> None:
    """Decode with torchcodec at the middle of each interval, resize, encode with simplejpeg, resample."""
    import simplejpeg
    import torch
    from torchcodec.decoders import AudioDecoder, VideoDecoder

    video = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="approximate")
    moments = torch.arange(0, min(settings.clip_seconds, video.metadata.duration_seconds) - 0.05, 0.25)
    frames = video.get_frames_played_at(moments.tolist()).data
    factor = settings.short_side / min(frames.shape[2:])
    size = [round(side * factor) for side in frames.shape[2:]]
    if factor != 1:
        frames = torch.nn.functional.interpolate(frames.float(), size, mode="bilinear").byte()
    for frame in frames:
        simplejpeg.encode_jpeg(frame.permute(1, 2, 0).contiguous().numpy(), quality=87, colorspace="RGB")
    AudioDecoder(str(path), sample_rate=settings.sample_rate, num_channels=1).get_all_samples()


def peers() -> Iterator[tuple[str, Callable[[Path, ShardSettings], None] | None]]:
    """Yield the peers, None where one cannot be imported."""
    try:
        import torch
        import torchcodec.decoders  # noqa: F401

        torch.set_num_threads(1)
        yield "torchcodec", torchcodec
    except (ImportError, RuntimeError, OSError):
        yield "torchcodec", None


def measure(function: Callable[[Path], object], paths: list[Path]) -> float:
    """Return CPU milliseconds a clip."""
    began = cpu_seconds()
    for path in paths:
        function(path)
    return 1000 * (cpu_seconds() - began) / len(paths)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    binary, settings = find_ffmpeg(), ShardSettings()
    fewer = settings.model_copy(update={"decoder": "pyav", "skip_nonref": True})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways: dict[str, Callable[[Path], object] | None] = {
            "bare ffmpeg, one pass": lambda path: bare(path, settings, binary),
            "ours, ffmpeg": lambda path: ours(path, settings, Ffmpeg(binary)),
            "ours, pyav": lambda path: ours(path, settings, Pyav()),
            "ours, pyav, skip_nonref": lambda path: ours(path, fewer, Pyav()),
            "two ffmpeg calls, files": lambda path: two_calls(path, settings, binary, folder),
        }
        for peer, function in peers():
            ways[peer] = partial(function, settings=settings) if function else None
        print(f"ffmpeg {ffmpeg_version(binary)}, {Pyav().version}; ms CPU a clip (ratio to bare ffmpeg)\n")
        print("| way | " + " | ".join(SIZES) + " |\n|---" * 1 + "|---" * len(SIZES) + "|")
        results: dict[str, list[float]] = {way: [] for way, function in ways.items() if function}
        for size, rate in SIZES.values():
            paths = [render(folder, binary, size, rate, number) for number in range(arguments.clips)]
            for function in filter(None, ways.values()):
                function(paths[0])  # imports and caches
            rounds = [{way: measure(ways[way], paths) for way in results} for _ in range(arguments.rounds)]
            for way, values in results.items():
                values.append(statistics.median(times[way] for times in rounds))
        for way in ways:
            cells = [f"{ms:.0f} ({ms / base:.2f})" for ms, base in
                     zip(results.get(way, []), results["bare ffmpeg, one pass"], strict=False)]  # fmt: skip
            print(f"| {way} | " + " | ".join(cells or ["absent"] * len(SIZES)) + " |")


if __name__ == "__main__":
    main()
