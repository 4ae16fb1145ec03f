"""How large the index is and how long it takes to load, for as many clips as VGGSound has.

    python benchmarks/index.py [--clips 200000] [--frames 40] [--clips-per-shard 256]

Writes columns, records' checksums and a manifest of synthetic clips, without their tars, into a temporary folder. Then,
in this process: opening the index; the first frame's range (one shard's columns); every column of every shard; ranges
of a frame and of a second of sound at random. Files are in the page cache, as they were just written.
"""

import argparse
import hashlib
import random
import resource
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.shards.format.clip import ClipMetadata
from avcorr.shards.format.tar import BLOCK, Member
from avcorr.shards.index.columns import ColumnsWriter
from avcorr.shards.index.layout import HIDDEN, write_atomically
from avcorr.shards.index.manifest import ShardEntry, write_manifest
from avcorr.shards.ranges import ClipIndex

RATE, SECONDS = 16000, 10
BY_TYPE = {int: 1, float: 0.5, str: "text", bool: False, list[int]: [1], list[float]: [0.5]}


def write(root: Path, clips: int, frames: int, per_shard: int) -> None:
    """Write the columns of all shards and the manifest."""
    entries: list[ShardEntry] = []
    common = {field.name: BY_TYPE[field.type] for field in fields(ClipMetadata)}
    common |= {"sample_rate": RATE, "sample_count": RATE * SECONDS, "duration": float(SECONDS)}
    offsets, times = [16000 * n for n in range(frames + 1)], [SECONDS * n / frames for n in range(frames)]
    for number, first in enumerate(range(0, clips, per_shard)):
        writer, end = ColumnsWriter(), 0
        for clip in range(first, min(first + per_shard, clips)):
            name = f"vid{clip:08d}"
            values = common | {"key": f"v{name}_000030", "video": name, "label": "playing bass drum",
                               "frame_offsets": offsets, "frame_times": times}  # fmt: skip
            members = []
            for size in (1500, 44 + 2 * RATE * SECONDS, offsets[-1]):
                members.append(Member("", end + BLOCK, size))
                end = members[-1].end
            writer.add(ClipMetadata(**values), members)
        data, path = writer.encode(), f"{HIDDEN}/shards/train-{number:06d}.npz"
        write_atomically(root / path, data)
        count = min(per_shard, clips - first)
        entries.append(
            ShardEntry(f"train/x-train-{number:06d}.tar", "train", count, count * frames, count * SECONDS, end,
                       "0" * 64, "0" * 32, path, hashlib.sha256(data).hexdigest())
        )  # fmt: skip
    write_manifest(root, entries)


def main() -> None:
    """Print sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--clips-per-shard", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, arguments.clips, arguments.frames, arguments.clips_per_shard)
        sizes = [path.stat().st_size for path in root.rglob("*.npz")]
        print(f"{len(sizes)} shards: {sum(sizes) / 1e6:.1f} MB of columns, {sum(sizes) / arguments.clips:.0f} a clip")
        began = time.perf_counter()
        index = ClipIndex(root, "train")
        print(f"open the manifest: {1e3 * (time.perf_counter() - began):.1f} ms")
        began = time.perf_counter()
        index.frame(len(index) - 1, 0)
        print(f"the first frame: {1e3 * (time.perf_counter() - began):.2f} ms")
        began = time.perf_counter()
        for clip in range(0, len(index), arguments.clips_per_shard):
            _, columns, _ = index.locate(clip)
            for name in columns.names():
                columns[name]
        print(f"everything: {time.perf_counter() - began:.2f} s")
        chance, rounds = random.Random(0), 20_000
        picks = [(chance.randrange(len(index)), chance.randrange(arguments.frames)) for _ in range(rounds)]
        began = time.perf_counter()
        for clip, frame in picks:
            index.frame(clip, frame)
            index.samples(clip, 0, RATE)
        print(f"a frame and a second at random: {1e6 * (time.perf_counter() - began) / rounds:.1f} us")
        print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
