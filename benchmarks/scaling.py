"""Clips a second of the packer on one core with one worker, and on two cores with two.

    python benchmarks/scaling.py VIDEOS [--rounds 5] [--set shard.decoder=pyav]

Each round packs the whole folder once each way, in a process of its own that is bound to so many cores; the time is
that of the packing, as `run.py shard` prints it, without imports and the list of sources.

Neighbours on the machine make those times useless, so the ratio is also had without the clock: every 5 ms the threads
of the packer and its ffmpegs that run or could run are counted. Cores kept busy = the mean of that, at most the number
of cores; divided by CPU time a clip it is what the packer would do on a machine of its own.

Two cores of a machine are not always twice one: they share caches, memory and a clock rate. So each round also runs
bare ffmpegs over the same videos, one at a time on each core and nothing in common: the machine's own ratio.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg
from avcorr.pipeline.settings import ShardSettings
from benchmarks.shard import bare, cpu_seconds

ROOT = Path(__file__).parents[1]
RESULT = re.compile(r"packed (\d+) .*in ([\d.]+) s:", re.S)


class Busy:
    """Counts, in a thread of its own, how many cores a process and its children would keep busy."""

    def __init__(self, process: int, cores: int) -> None:
        self._process, self._cores, self._counts = process, cores, list[tuple[int, bool]]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            threads, processes = count(self._process)
            self._counts.append((min(self._cores, threads), processes > 1))

    def cores(self) -> float:
        """Stop, and return the mean between the first and the last moment at which there was a child."""
        self._stop.set()
        self._thread.join()
        moments = [number for number, (_, decoding) in enumerate(self._counts) if decoding]
        return statistics.mean(threads for threads, _ in self._counts[moments[0] : moments[-1] + 1])


def count(process: int) -> tuple[int, int]:
    """Return how many threads of a process and its children run or could, and how many processes these are."""
    threads, processes = 0, 1
    with suppress(OSError):  # what is gone does not run
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                threads += (task / "stat").read_text().rpartition(")")[2].split()[0] == "R"
                for child in (task / "children").read_text().split():
                    more = count(int(child))
                    threads, processes = threads + more[0], processes + more[1]
    return threads, processes


def pack(videos: Path, cores: list[int], more: list[str]) -> tuple[float, float, float]:
    """Return clips a second, CPU milliseconds a clip and cores kept busy with a worker a core."""
    before, began = os.sched_getaffinity(0), cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "run.py"), "shard", "--source", str(videos), "--out", f"{folder}/root",
                   "--workers", str(len(cores)), *more]  # fmt: skip
        os.sched_setaffinity(0, cores)  # the child and its children inherit it
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        finally:
            os.sched_setaffinity(0, before)
        busy = Busy(process.pid, len(cores))
        output, _ = process.communicate()
        match = RESULT.search(output)
        assert match, output
    clips, seconds = int(match[1]), float(match[2])
    return clips / seconds, 1000 * (cpu_seconds() - began) / clips, busy.cores()


def bare_rate(videos: Sequence[Path], cores: list[int]) -> float:
    """Return clips a second of bare ffmpegs, each core with a share of the videos of its own."""
    binary, settings = find_ffmpeg(), ShardSettings()

    def work(number: int) -> None:
        os.sched_setaffinity(0, [cores[number]])  # of this thread, and of the children that it starts
        for path in videos[number :: len(cores)]:
            bare(path, settings, binary)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(cores))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(videos) / (time.monotonic() - began)


def main() -> None:
    """Print clips a second and CPU time a clip, each way, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    more = [word for text in arguments.set for word in ("--set", text)]
    first, second, *_ = sorted(os.sched_getaffinity(0))
    seen: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    sample, machine = sorted(arguments.videos.rglob("*.mp4"))[:96], list[float]()
    for number in range(arguments.rounds):
        for cores in ([first] if number % 2 == 0 else [second], [first, second]):
            seen[len(cores)].append(pack(arguments.videos, cores, more))
        machine.append(bare_rate(sample, [first, second]) / bare_rate(sample, [first]))
    alone: dict[int, float] = {}
    for cores, rounds in seen.items():
        rates, costs, busy = zip(*rounds, strict=True)
        cost, kept = statistics.median(costs), statistics.median(busy)
        alone[cores] = 1000 * kept / cost
        print(f"cores {cores}: {max(rates):.2f} clips/s at best, {statistics.median(rates):.2f} in the median round")
        print(
            f"    {cost:.0f} ms CPU a clip, {kept:.2f} cores kept busy: {alone[cores]:.2f} clips/s without neighbours"
        )
    clock = [two[0] / one[0] for one, two in zip(seen[1], seen[2], strict=True)]
    print(f"ratio: {alone[2] / alone[1]:.2f} without neighbours; by the clock {statistics.median(clock):.2f} "
          f"({min(clock):.2f} to {max(clock):.2f})")  # fmt: skip
    print(f"ratio of bare ffmpegs by the clock: {statistics.median(machine):.2f} "
          f"({min(machine):.2f} to {max(machine):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
