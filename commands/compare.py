"""Put the evaluations of several runs side by side, below the paper's Table I."""

import json
from pathlib import Path

import avcorr

from .options import Parser, add_json, folder


def add_options(added: Parser) -> None:
    runs = "folders of runs, whose newest evaluation is taken, or of evaluations: RUN/eval/NAME"
    added.add_argument("runs", type=folder, nargs="+", metavar="RUN", help=runs)
    add_json(added)


def run(runs: list[Path], as_json: bool) -> None:
    from avcorr.model.evaluation.compare import table

    found = avcorr.compare(runs)
    print(json.dumps(found, indent=1, ensure_ascii=False) if as_json else table(found))
