"""Describe a dataset."""

import argparse
import json

from avcorr.shards.summary import describe, summarise


def run(arguments: argparse.Namespace) -> int:
    facts = summarise(arguments.root)
    print(json.dumps(facts, indent=1, ensure_ascii=False) if arguments.json else describe(facts))
    return 0
