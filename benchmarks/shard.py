"""How much more CPU time our sharding takes than the bare ffmpeg doing the same decode, scale, JPEG and PCM.

    python benchmarks/shard.py VIDEO... [--rounds 5] [--set shard.short_side=256]

For each video, in turn: the packer's whole work for a clip (decode, parse, build the tar sample), and the same
binary with the same filters and codecs writing to /dev/null, single-threaded. CPU time is user + system of this
process and of its children, so that neighbours on the machine count little; the ratio is of the sums.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.configs.load import load_config
from avcorr.pipeline.decoding.decode import read_clip
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg, ffmpeg_version, find_ffmpeg
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.source import Source
from avcorr.shards.format.tar import encode_member


def cpu_seconds() -> float:
    """Return user and system time of this process and its ended children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ours(path: Path, settings: ShardSettings, binary: str) -> float:
    """Make the tar sample of one video; return CPU seconds."""
    source = Source(key="vkey", path=str(path.resolve()), name=path.name, video=path.name, split="train")
    began = cpu_seconds()
    clip = read_clip(source, settings, Ffmpeg(binary))
    b"".join(encode_member(name, data) for name, data in clip.members())
    return cpu_seconds() - began


def bare(path: Path, settings: ShardSettings, binary: str) -> float:
    """Run ffmpeg alone, without timestamps and messages; return CPU seconds."""
    side = settings.short_side
    chosen = f"select=isnan(prev_selected_t)+gt(floor(t*{settings.frames_per_second:g}+1e-6)\\," + (
        f"floor(prev_selected_t*{settings.frames_per_second:g}+1e-6))"
    )
    scale = f"scale={side}:{side}:force_original_aspect_ratio=increase:force_divisible_by=2:flags=area"
    command = [
        binary, "-nostdin", "-v", "error", "-threads", "1", "-t", str(settings.clip_seconds), "-i", str(path),
        "-filter_complex", f"[0:V:0]{chosen},{scale}[v]", "-filter_complex_threads", "1",
        "-map", "[v]", "-fps_mode", "passthrough", "-c:v", "mjpeg", "-threads", "1", "-huffman", "default",
        "-q:v", str(settings.jpeg_quality), "-f", "image2pipe", "-y", "/dev/null",
        "-map", "0:a:0", "-ac", "1", "-ar", str(settings.sample_rate), "-f", "s16le", "-y", "/dev/null",
    ]  # fmt: skip
    began = cpu_seconds()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return cpu_seconds() - began


def main() -> None:
    """Print CPU milliseconds a clip and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    settings = load_config(None, arguments.set).shard
    binary = find_ffmpeg(settings.ffmpeg)
    ours(arguments.videos[0], settings, binary)  # imports and caches
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(arguments.rounds):
        for name, function in (("ours", ours), ("bare", bare)):
            times[name].append(sum(function(path, settings, binary) for path in arguments.videos))
    ratios = [one / other for one, other in zip(times["ours"], times["bare"], strict=True)]
    print(f"ffmpeg {ffmpeg_version(binary)}, {len(arguments.videos)} videos, {arguments.rounds} rounds")
    for name, sums in times.items():
        print(f"{name}: {1000 * statistics.median(sums) / len(arguments.videos):.0f} ms CPU a clip (median)")
    print(f"ratio: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"memory: {peak:.0f} MB this process, {child:.0f} MB the largest child")


if __name__ == "__main__":
    main()
