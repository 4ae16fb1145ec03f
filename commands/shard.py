"""Decode videos into shards."""

from typing import Any

import avcorr

from .options import Parser, add_config, add_workers, folder, setting


def add_options(added: Parser) -> None:
    sources = "videos, folders, archives, lists (CSV, TSV, JSON lines, Parquet, paths), one or more of any kind"
    videos = "folder that the names and ids of a list are looked up in, loose or in archives"
    added.add_argument("--source", action="extend", required=True, nargs="+", metavar="PATH", help=sources)
    added.add_argument("--videos", type=folder, metavar="DIR", help=videos)
    added.add_argument("--out", required=True, metavar="ROOT", help="folder of the dataset, or s3://, gs://, az://")
    work = "folder in which shards for a bucket are made (default: one below the user's cache folder)"
    added.add_argument("--work", type=folder, metavar="DIR", help=work)
    added.add_argument(
        "--clip-seconds", dest="settings", action="append", default=[], type=setting("shard.clip_seconds"), metavar="S",
        help="longest clip; short for --set shard.clip_seconds=S",
    )  # fmt: skip
    added.add_argument(
        "--consecutive", dest="settings", action="append_const", default=[], const="shard.consecutive=true",
        help="cut each video into clips that follow each other; short for --set shard.consecutive=true",
    )  # fmt: skip
    added.add_argument(
        "--group-by", dest="settings", action="append", default=[], type=setting("shard.group_by"), metavar="RULE",
        help="clips of one source video: number of a folder on their path, or a regular expression",
    )  # fmt: skip
    again = "try inputs that failed so again"
    added.add_argument("--retry", default=[], type=_codes, metavar="CODE[,CODE]", help=again)
    changed = "go on where files have changed since they were packed; what is packed of them stays"
    added.add_argument("--accept-changed", action="store_true", help=changed)
    added.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    added.add_argument("--strict", action="store_true", help="exit with 1 if any input failed")
    added.add_argument("--energon", action="store_true", help="write .nv-meta and *.tar.idx for Megatron Energon, too")
    added.add_argument("--dali", action="store_true", help="write __index__/dali/*.idx for NVIDIA DALI, too")
    add_workers(added, "ffmpeg processes at once (default: one a core)")
    add_config(added)


def run(out: str, dry_run: bool, strict: bool, **options: Any) -> None:
    from avcorr.shards.index.layout import LEDGER

    if dry_run:
        names = ("source", "config", "settings", "videos", "workers")
        print(avcorr.estimate(out=out, **{name: options[name] for name in names}).describe())
        return
    done = avcorr.shard(out=out, **options)
    skipped = f" + skipped {done.skipped}" if done.skipped else ""
    print(f"inputs {done.inputs} = packed {done.packed} + failed {done.failed}{skipped}")
    for code, count in done.reasons.items():
        print(f"  {code}: {count}")
    print(f"{done.shards} shards, {done.size / 1e6:.1f} MB, in {done.seconds:.1f} s: {out}")
    if not done.packed:
        raise avcorr.Error(f"nothing could be packed; {out}/{LEDGER} says why for each input")
    if strict and done.failed:
        raise avcorr.Error(f"{done.failed} inputs failed and --strict was given; the ledger says why")


def _codes(text: str) -> list[str]:
    return text.split(",")
