"""Write one self-contained page about a run."""

import argparse
from pathlib import Path

import avcorr

EXAMPLE = "report --run runs/a"


def add_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of a trained run")


def run(run: Path) -> None:
    print(avcorr.report(run))
