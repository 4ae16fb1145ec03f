"""Measure accuracy and retrieval on held-out clips."""

import json
from pathlib import Path
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_best, add_cache, add_overrides, folder, opened


def add_options(added: Parser) -> None:
    added.add_argument("--run", type=folder, required=True, metavar="RUN", help="folder of a trained run")
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    add_best(added)
    protocol = "full, avenet, cavmae-1545, vggsounder or list, with /center or /mean10; short for eval.protocol"
    added.add_argument("--protocol", metavar="NAME", help=protocol)
    gallery = "evaluate the clips of a list, one id a line; short for eval.gallery, and alone for protocol list"
    added.add_argument("--gallery", type=folder, metavar="FILE", help=gallery)
    ontology = "AudioSet's ontology.json, for nDCG with AVE-Net's gain; short for eval.ontology"
    added.add_argument("--ontology", type=folder, metavar="FILE", help=ontology)
    named = "of the folder in RUN/eval (default: dataset, split and protocol)"
    added.add_argument("--name", metavar="NAME", help=named)
    add_overrides(added)


def run(protocol: str | None, gallery: Path | None, ontology: Path | None, settings: list[str], **options: Any) -> None:
    from avcorr.model.evaluation.table import table

    name = protocol or ("list" if gallery else None)
    given = {"eval.protocol": name, "eval.gallery": gallery, "eval.ontology": ontology}
    short = [f"{key}={json.dumps(str(value))}" for key, value in given.items() if value]
    found = avcorr.evaluate(settings=[*settings, *short], **opened(options))
    print(table(found.metrics))
