"""Put the evaluations of several runs side by side, below the paper's Table I."""

import argparse
import json

from avcorr.model.evaluation.compare import compare as side_by_side
from avcorr.model.evaluation.compare import table


def run(arguments: argparse.Namespace) -> int:
    found = side_by_side(arguments.runs)
    print(json.dumps(found, indent=1, ensure_ascii=False) if arguments.json else table(found))
    return 0
