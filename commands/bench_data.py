"""Measure how fast pairs come from where a dataset lies, and say what is slow."""

import json
import sys
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_cache, add_config, add_json, opened, positive


def add_options(added: Parser) -> None:
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    amount = added.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=positive, default=10, metavar="S", help="for how long (default 10)")
    amount.add_argument("--pairs", type=positive, metavar="N", help="how many pairs instead")
    added.add_argument("--rate", type=positive, metavar="R", help="take R pairs a second, as a model would")
    add_json(added)
    add_config(added)


def run(as_json: bool, pairs: int | None, **options: Any) -> None:
    from tqdm import tqdm

    from avcorr.pipeline.moments.speed import advise, describe

    with tqdm(unit="pair", total=pairs, disable=None, desc="bench-data", file=sys.stderr) as bar:
        speed = avcorr.bench_data(pairs=pairs, on_pairs=bar.update, **opened(options))
    print(json.dumps(speed.to_json() | {"advice": advise(speed)}) if as_json else describe(speed))
