"""What a frame costs by each way to decode it, without the reading.

    taskset -c 0 python benchmarks/decoding.py ROOT [--sizes 224,160,112,64] [--rounds 7]

The same JPEGs and the same random crops by each way in turn, microseconds of CPU time a frame on one thread, the median
of the rounds; the first is not counted. `device` is split: what the worker does, and what the training process does,
here on the CPU. How far its pixels are from the others' is given, too.
"""

import argparse
import random
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np
import torch

from avcorr.pipeline.moments.jpegs import place_crops
from avcorr.pipeline.moments.views import decode_frames
from avcorr.shards.dataset import Dataset
from avcorr.shards.reader import read_clips

COUNT = 256
WAYS = ("frame", "device: worker", "device: trainer")


def measure(jpegs: list[bytes], crops: np.ndarray, size: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return seconds by each way, and the frames of both."""
    frames = {"frame": np.empty((len(jpegs), size, size, 3), np.uint8)}
    clock = [time.process_time()]
    decode_frames(jpegs, crops, frames["frame"])
    clock.append(time.process_time())
    placed = place_crops(jpegs, crops, size)
    clock.append(time.process_time())
    frames["device"] = placed.decode(torch.device("cpu")).numpy()
    clock.append(time.process_time())
    return dict(zip(WAYS, np.diff(clock).tolist(), strict=True)), frames


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--sizes", default="224,160,112,64")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = Dataset(arguments.root).of_split("train")
    clips = [clip for record in records for clip in read_clips(arguments.root, record)]
    jpegs = [bytes(clip.frame(number)) for clip in clips for number in range(0, clip.metadata.frame_count, 8)]
    rng = np.random.default_rng(0)
    print(f"{len(jpegs)} frames, {sum(map(len, jpegs)) / len(jpegs) / 1000:.1f} kB each\n")
    print(f"| side | {' | '.join(WAYS)} | `device`: grey levels off, mean, most |")
    print("|---" * (len(WAYS) + 2) + "|")
    for size in map(int, arguments.sizes.split(",")):
        seconds: dict[str, list[float]] = defaultdict(list)
        off = []
        for turn in range(arguments.rounds + 1):
            chosen = random.choices(jpegs, k=COUNT)
            took, frames = measure(chosen, rng.random((COUNT, 2)), size)
            off.append(np.abs(frames["frame"].astype(int) - frames["device"]))
            if turn:
                for name, value in took.items():
                    seconds[name].append(value)
        cells = " | ".join(f"{1e6 * statistics.median(seconds[name]) / COUNT:.0f}" for name in WAYS)
        mean, most = np.mean([device.mean() for device in off]), max(device.max() for device in off)
        print(f"| {size} | {cells} | {mean:.1f}, {most} |", flush=True)


if __name__ == "__main__":
    main()
