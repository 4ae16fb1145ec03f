"""Make a lost index again from the shards."""

from pathlib import Path

import avcorr

from .options import Parser, add_workers, folder


def add_options(added: Parser) -> None:
    added.add_argument("root", type=folder, metavar="ROOT", help="folder of the shards, which hold all but the ledger")
    add_workers(added, "shards read at once (default: one a core)")


def run(root: Path, workers: int) -> None:
    found = avcorr.index(root, workers=workers)
    print(f"{len(found.shards)} shards, {len(found.clips())} clips have their index; what failed is not known any more")
