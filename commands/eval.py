"""Measure accuracy and retrieval on held-out clips."""

import argparse
import json
import sys

import avcorr


def run(arguments: argparse.Namespace) -> int:
    from avcorr.model.evaluation.table import table

    name = arguments.protocol or ("list" if arguments.gallery else None)
    given = {"eval.protocol": name, "eval.gallery": arguments.gallery, "eval.ontology": arguments.ontology}
    short = [f"{key}={json.dumps(str(value))}" for key, value in given.items() if value]
    found = avcorr.evaluate(
        arguments.run, arguments.shards, settings=[*arguments.set, *short], best=arguments.best, cache=arguments.cache,
        cache_gb=arguments.cache_gb,
    )  # fmt: skip
    print(table(found.metrics, colour=sys.stdout.isatty()))
    return 0
