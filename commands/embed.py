"""Write the embeddings of all clips, and an index to search them by."""

from pathlib import Path
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_cache, add_model, add_only, add_workers, folder, opened, positive


def add_options(added: Parser) -> None:
    add_model(added)
    added.add_argument("--shards", required=True, metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    added.add_argument("--out", type=folder, required=True, metavar="DIR", help="folder for embeddings and index")
    add_only(added, "split")
    views = "views of each clip: a frame and the sound around it (default 10)"
    added.add_argument("--views", type=positive, default=10, metavar="N", help=views)
    kinds = "how it is searched; default: exact for up to 250,000 views, else ivf"
    added.add_argument("--index", choices=("exact", "ivf"), help=kinds)
    add_workers(added, "threads that read and decode (default: one a core)")


def run(out: Path, **options: Any) -> None:
    done = avcorr.embed(out=out, **opened(options))
    print(f"{done.clips} clips, {done.views} views of step {done.step}, index {done.kind}: {out}")
