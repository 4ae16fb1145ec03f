"""Describe a dataset."""

import argparse
import json

import avcorr

from .options import ROOT_HELP, add_json

EXAMPLE = "info data/shards --json"


def add_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    add_json(added)


def run(root: str, as_json: bool) -> None:
    from avcorr.shards.summary import describe

    facts = avcorr.info(root)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else describe(facts))
