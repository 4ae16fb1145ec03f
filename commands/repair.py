"""Make again what verify finds damaged, byte for byte as it was recorded."""

from pathlib import Path
from typing import Any

import avcorr
from avcorr.printable import printable

from .options import Parser, add_workers, folder


def add_options(added: Parser) -> None:
    added.add_argument("root", type=folder, metavar="ROOT", help="folder of the dataset")
    sources = "the sources, where they lie elsewhere now"
    added.add_argument(
        "--source", type=folder, action="extend", nargs="+", default=[], metavar="DIR_OR_CSV_OR_TAR", help=sources
    )
    added.add_argument("--videos", type=folder, metavar="DIR", help="as for shard")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="an ffmpeg of the recorded version")
    added.add_argument("--delete-extra", action="store_true", help="delete tars that are not of the dataset")
    add_workers(added, "shards checked and videos decoded at once (default: one a core)")


def run(root: Path, **options: Any) -> None:
    done = avcorr.repair(root, **options)
    for path, how in done.repaired.items():
        print(printable(f"repaired: {path}: {how}"))
    for path, why in done.failed.items():
        print(printable(f"not repaired: {path}: {why}"))
    if done.failed:
        raise avcorr.Error(f"{len(done.failed)} things could not be repaired in {root}")
    print(f"all well: {len(done.repaired)} repaired")
