"""Write one self-contained page about a run."""

from pathlib import Path

import avcorr

from .options import Parser, folder


def add_options(added: Parser) -> None:
    added.add_argument("--run", type=folder, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--name", metavar="NAME", help="of the evaluation in RUN/eval (default: the newest)")


def run(run: Path, name: str | None) -> None:
    print(avcorr.report(run, name))
