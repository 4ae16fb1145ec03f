"""Classify frozen embeddings by label: clips of the shards, or ESC-50's sounds."""

from pathlib import Path
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_best, add_cache, add_overrides, folder, opened


def add_options(added: Parser) -> None:
    added.add_argument("--run", type=folder, required=True, metavar="RUN", help="folder of a trained run")
    what = added.add_mutually_exclusive_group(required=True)
    what.add_argument("--shards", metavar="ROOT", help="classify the clips of its splits; " + ROOT_HELP)
    what.add_argument("--esc50", type=folder, metavar="DIR", help="classify ESC-50's sounds, in its five folds")
    pooling = "an item's views: the one in its middle, or the mean of ten (default: center; mean10 with --esc50)"
    added.add_argument("--pooling", choices=["center", "mean10"], help=pooling)
    add_cache(added)
    add_best(added)
    add_overrides(added)


def run(run: Path, esc50: Path | None, pooling: Any, **options: Any) -> None:
    from avcorr.model.evaluation.probing import table

    if esc50:
        chosen = {name: options[name] for name in ("settings", "best")}
        found = avcorr.probe_esc50(run, esc50, pooling=pooling or "mean10", **chosen)
    else:
        found = avcorr.probe(run, pooling=pooling or "center", **opened(options))
    print(table(found))
