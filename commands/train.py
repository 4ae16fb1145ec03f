"""Train the correspondence model on a stream of pairs."""

import logging
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_cache, add_config, folder, opened


def add_options(added: Parser) -> None:
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    added.add_argument("--run", type=folder, required=True, metavar="RUN", help="folder for checkpoints and metrics")
    added.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    add_config(added)


def run(**options: Any) -> None:
    from avcorr.model.training.distributed import named

    first = named().is_first
    if not first:  # the first process speaks for all
        for name in ("", "avcorr.model", "avcorr.workflows"):
            logging.getLogger(name).setLevel(logging.ERROR)
    done = avcorr.train(**opened(options))
    if first:
        reached = "" if done.loss is None else f", loss {done.loss:.4f}, accuracy {done.accuracy:.3f}"
        print(f"step {done.step}{reached}: {done.checkpoint}")
