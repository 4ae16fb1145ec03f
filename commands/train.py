"""Train the correspondence model on a stream of pairs."""

import argparse
import logging

import avcorr


def run(arguments: argparse.Namespace) -> int:
    from avcorr.model.training.distributed import named

    first = named().is_first
    if not first:  # the first process speaks for all
        for name in ("", "avcorr.model", "avcorr.workflows"):
            logging.getLogger(name).setLevel(logging.ERROR)
    done = avcorr.train(
        arguments.shards, arguments.run, config=arguments.config, settings=arguments.set, resume=arguments.resume,
        cache=arguments.cache, cache_gb=arguments.cache_gb,
    )  # fmt: skip
    if first:
        reached = "" if done.loss is None else f", loss {done.loss:.4f}, accuracy {done.accuracy:.3f}"
        print(f"step {done.step}{reached}: {done.checkpoint}")
    return 0
