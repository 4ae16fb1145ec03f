"""Try to tell matching pairs by the sound or the frame alone; exit with 1 if that works."""

import json
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_cache, add_config, add_json, opened, positive


def add_options(added: Parser) -> None:
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    pairs = "pairs to draw, half to learn from and half to judge (default 10000)"
    added.add_argument("--pairs", type=positive, default=10000, metavar="N", help=pairs)
    add_json(added)
    add_config(added)


def run(as_json: bool, **options: Any) -> int:
    from dataclasses import asdict

    from avcorr.pipeline.correspondence.leakage import describe

    found = avcorr.check_leakage(**opened(options))
    print(json.dumps(asdict(found)) if as_json else describe(found))
    return int(found.leaks)
