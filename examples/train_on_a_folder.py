"""Shard a folder of videos, train on the shards and evaluate on the held-out ones.

python examples/train_on_a_folder.py VIDEOS OUT [train.steps=1000 ...]
"""

import sys

import avcorr


def main(videos: str, out: str, *settings: str) -> None:
    shards, run = f"{out}/shards", f"{out}/run"
    packed = avcorr.shard(videos, shards, config="quickstart", settings=settings)
    print(f"{packed.packed} of {packed.inputs} videos are in {packed.shards} shards")
    trained = avcorr.train(shards, run, config="quickstart", settings=settings, resume=True)
    print(f"trained to step {trained.step}")
    print(avcorr.evaluate(run, shards))


if __name__ == "__main__":
    main(*sys.argv[1:])
