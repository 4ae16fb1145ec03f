"""Measure how fast pairs come from where a dataset lies, and say what is slow."""

import argparse
import json
import sys

from tqdm import tqdm

from avcorr.configs.load import load_config
from avcorr.model.device import resolve_device
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.advice import advise, describe
from avcorr.pipeline.moments.speed import measure_speed
from avcorr.workflows.opening import open_cached


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config, arguments.set)
    store = open_cached(arguments.shards, arguments.cache, arguments.cache_gb)
    dataset = PairDataset(
        store,
        config.pairs,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
    )
    device = resolve_device(config.train.device) if config.pairs.decode == "device" else None
    with tqdm(unit="pair", total=arguments.pairs, disable=None, desc="bench-data", file=sys.stderr) as bar:
        speed = measure_speed(
            dataset, seconds=arguments.seconds, pairs=arguments.pairs, rate=arguments.rate, device=device,
            progress=bar.update,
        )  # fmt: skip
    print(json.dumps(speed.to_json() | {"advice": advise(speed)}) if arguments.json else describe(speed))
    return 0
