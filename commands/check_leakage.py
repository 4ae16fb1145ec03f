"""Try to tell matching pairs by the sound or the frame alone; exit with 1 if that works."""

import argparse
import json
from dataclasses import asdict
from itertools import islice

from avcorr.configs.load import load_config
from avcorr.pipeline.correspondence.leakage import describe, find_leakage
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.workflows.opening import open_cached


def run(arguments: argparse.Namespace) -> int:
    config = load_config(arguments.config, arguments.set)
    settings = config.pairs.model_copy(update={"aligned": False})
    store = open_cached(arguments.shards, arguments.cache, arguments.cache_gb)
    dataset = PairDataset(
        store,
        settings,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
    )
    count = -(-arguments.pairs // config.train.batch_size)
    found = find_leakage(islice(MomentLoader(dataset), count))
    print(json.dumps(asdict(found)) if arguments.json else describe(found))
    return int(found.leaks)
