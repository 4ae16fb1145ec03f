"""Describe a dataset."""

import json

import avcorr

from .options import ROOT_HELP, Parser, add_json


def add_options(added: Parser) -> None:
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    add_json(added)


def run(root: str, as_json: bool) -> None:
    from avcorr.shards.summary import describe

    facts = avcorr.info(root)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else describe(facts))
