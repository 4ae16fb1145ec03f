"""Draw a contact sheet of a clip, a shard or a dataset: frames over their sound."""

from pathlib import Path
from typing import Any

import avcorr

from .options import ROOT_HELP, Parser, add_only, folder, positive


def add_options(added: Parser) -> None:
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--key", dest="keys", action="append", default=[], metavar="K", help="this clip; repeatable")
    one = "only this shard: train-000000; repeatable"
    added.add_argument("--shard", dest="shards", action="append", default=[], metavar="NAME", help=one)
    add_only(added, "split", "label")
    some = "clips to show, of as many classes as can be (default 24)"
    added.add_argument("--clips", type=positive, default=24, metavar="N", help=some)
    what = "picture (.png) or page with sound (.html) to write (default inspect.png)"
    added.add_argument("--out", type=folder, default=Path("inspect.png"), metavar="FILE", help=what)


def run(**options: Any) -> None:
    print(avcorr.inspect(**options))
