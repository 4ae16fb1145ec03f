"""How many pairs a second one core draws from shards.

    taskset -c 0 python benchmarks/pairs.py ROOT [--pairs 20000] [--set pairs.per_clip=4]

Whole path of a training pair: range reads, JPEG decode, crop, window of sound, batch; one process and one thread, CPU
seconds of the process. The shards should lie in the page cache; the first round is not counted. Beside each round one
without the counts of the stages, to see what counting costs.

    python benchmarks/pairs.py ROOT --scaling [--pairs 20000]

CPU time a pair of one worker and of two, without their start, and of the process that takes the batches: what a second
core would give if nobody else wanted it, which the clock of a busy machine does not tell.
"""

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch

from avcorr.configs.load import load_config
from avcorr.pipeline.correspondence.pairs import PairBatch, PairDataset
from avcorr.pipeline.moments import sampler
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.moments.stages import Stages


class Uncounted:
    """A meter that counts nothing."""

    def __init__(self, _: Any) -> None:
        self._nothing, self._stages = nullcontext(), Stages()

    def measure(self, _: str) -> Any:
        """Measure nothing."""
        return self._nothing

    def add(self, _: str, __: float) -> None:
        """Add nothing."""

    def take(self, _: int) -> Stages:
        """Return nothing."""
        return self._stages


def draw(batches: Iterator[PairBatch], count: int) -> tuple[float, float]:
    """Return CPU and wall seconds of so many batches."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.process_time() - cpu, time.perf_counter() - wall


def children_seconds() -> float:
    """Return the CPU time of this process's workers so far."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) * (int(fields[1]) == os.getpid())
    return total / os.sysconf("SC_CLK_TCK")


def scaling(root: Path, pairs: int, rounds: int) -> None:
    """Print CPU time a pair for one worker and for two."""
    costs: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, rows in costs.items():
            settings = load_config(None, [f"pairs.workers={workers}"]).pairs
            batches = iter(MomentLoader(PairDataset(root, settings, batch_size=256, seed=0)))
            for _ in range(8):
                next(batches)
            before = children_seconds(), time.process_time()
            for _ in range(pairs // 256):
                next(batches)
            used = children_seconds() - before[0], time.process_time() - before[1]
            rows.append((1e6 * used[0] / pairs, 1e6 * used[1] / pairs))
            del batches
    one, two = (tuple(map(statistics.median, zip(*rows, strict=True))) for rows in costs.values())
    print(f"us a pair: one worker {one[0]:.0f}, two {two[0]:.0f}; the taking process {one[1]:.0f} and {two[1]:.0f}")
    print(f"two workers give {2 * one[0] / two[0]:.2f} times the pairs of one where each has a core")


def main() -> None:
    """Print pairs a second of CPU time for each round and their median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--pairs", type=int, default=20000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scaling", action="store_true", help="compare one worker with two")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.scaling:
        scaling(arguments.root, arguments.pairs, arguments.rounds)
        return
    settings = load_config(None, ["pairs.workers=0", *arguments.set]).pairs
    batch_size, meter = 256, sampler.Meter
    count = arguments.pairs // batch_size
    batches = iter(MomentLoader(PairDataset(arguments.root, settings, batch_size=batch_size, seed=0)))
    draw(batches, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plain = iter(MomentLoader(PairDataset(arguments.root, settings, batch_size=batch_size, seed=0)))
    sampler.Meter = Uncounted  # type: ignore[assignment,misc]
    draw(plain, count)
    sampler.Meter = meter  # type: ignore[misc]
    rates, costs = list[float](), list[float]()
    for _ in range(arguments.rounds):
        cpu, wall = draw(batches, count)
        costs.append(cpu / draw(plain, count)[0] - 1)
        rates.append(count * batch_size / cpu)
        print(
            f"{rates[-1]:.0f} pairs/s of CPU time, {rates[-1] * cpu / wall:.0f} of wall time; counting {costs[-1]:+.1%}"
        )
    print(
        f"median {statistics.median(rates):.0f} pairs/s on one core at {settings.per_clip} pairs a clip, "
        f"counting the stages {statistics.median(costs):+.2%}; {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
