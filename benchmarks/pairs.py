"""How many pairs a second one core draws from shards.

    taskset -c 0 python benchmarks/pairs.py ROOT [--pairs 20000] [--set pairs.per_clip=4]

Whole path of a training pair: webdataset reads the shard, JPEG decode, crop, window of sound, batch; one process and
one thread, CPU seconds of the process. The shards should lie in the page cache; the first round is not counted.
"""

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from configs.load import load_config
from pipeline.pairs.loader import PairLoader
from pipeline.pairs.sampler import PairDataset


def main() -> None:
    """Print pairs a second of CPU time for each round and their median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--pairs", type=int, default=20000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_config(None, ["pairs.workers=0", *arguments.set]).pairs
    batch_size = 256
    batches = iter(PairLoader(PairDataset(arguments.root, settings, batch_size=batch_size, seed=0)))
    rates: list[float] = []
    for number in range(arguments.rounds + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(arguments.pairs // batch_size):
            next(batches)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if number:
            rates.append(arguments.pairs // batch_size * batch_size / cpu)
            print(f"{rates[-1]:.0f} pairs/s of CPU time, {rates[-1] * cpu / wall:.0f} of wall time")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"median {statistics.median(rates):.0f} pairs/s on one core at {settings.per_clip} pairs a clip; {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
