"""Write one self-contained page about a run."""

from pathlib import Path

import avcorr

from .options import Parser, folder


def add_options(added: Parser) -> None:
    added.add_argument("--run", type=folder, required=True, metavar="RUN", help="folder of a trained run")


def run(run: Path) -> None:
    print(avcorr.report(run))
