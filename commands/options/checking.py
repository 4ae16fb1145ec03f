"""Options of the commands that look at datasets."""

from pathlib import Path

from .shared import ROOT_HELP, Add, add_cache, add_config, add_workers, folder, positive


def add_options(add: Add) -> None:
    added = add("verify", "verify data/shards --full")
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--full", action="store_true", help="read every byte and check every member")
    added.add_argument("--json", action="store_true", help="print one JSON object a problem, then one with the counts")
    add_workers(added, "shards checked at once (default: one a core)")

    added = add("check-leakage", "check-leakage data/shards --pairs 20000")
    added.add_argument("shards", metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    pairs = "pairs to draw, half to learn from and half to judge (default 10000)"
    added.add_argument("--pairs", type=positive, default=10000, metavar="N", help=pairs)
    added.add_argument("--json", action="store_true", help="print one JSON object")
    add_config(added)

    added = add("bench-data", "bench-data s3://bucket/vggsound --set pairs.workers=8")
    added.add_argument("shards", metavar="ROOT", help=ROOT_HELP)
    add_cache(added)
    amount = added.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=positive, default=10, metavar="S", help="for how long (default 10)")
    amount.add_argument("--pairs", type=positive, metavar="N", help="how many pairs instead")
    added.add_argument("--rate", type=positive, metavar="R", help="take R pairs a second, as a model would")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    add_config(added)

    added = add("repair", "repair data/shards --source videos/")
    added.add_argument("root", type=folder, metavar="ROOT", help="folder of the dataset")
    sources = "the sources, where they lie elsewhere now"
    added.add_argument(
        "--source", type=Path, action="extend", nargs="+", default=[], metavar="DIR_OR_CSV_OR_TAR", help=sources
    )
    added.add_argument("--videos", type=Path, metavar="DIR", help="as for shard")
    added.add_argument("--ffmpeg", default="", metavar="PATH", help="an ffmpeg of the recorded version")
    added.add_argument("--delete-extra", action="store_true", help="delete tars that are not of the dataset")
    add_workers(added, "shards checked and videos decoded at once (default: one a core)")

    added = add("settings", "settings train.steps pairs")
    added.add_argument("names", nargs="*", metavar="NAME", help="only this setting or section; repeatable")
    added.add_argument("--markdown", action="store_true", help="print the page docs/settings.md")

    added = add("info", "info data/shards --json")
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--json", action="store_true", help="print one JSON object")

    added = add("inspect", "inspect data/shards --key v3f2Xk_000030 --out clip.html")
    added.add_argument("root", metavar="ROOT", help=ROOT_HELP)
    added.add_argument("--key", action="append", default=[], metavar="K", help="this clip; repeatable")
    added.add_argument("--shard", action="append", default=[], metavar="NAME", help="only this shard: train-000000")
    added.add_argument("--split", action="append", default=[], metavar="S", help="only this split; repeatable")
    added.add_argument("--label", action="append", default=[], metavar="L", help="only this label; repeatable")
    some = "clips to show, of as many classes as can be (default 24)"
    added.add_argument("--clips", type=positive, default=24, metavar="N", help=some)
    what = "picture (.png) or page with sound (.html) to write (default inspect.png)"
    added.add_argument("--out", type=folder, default=Path("inspect.png"), metavar="FILE", help=what)
