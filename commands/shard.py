"""Decode videos into shards."""

import argparse

import avcorr
from avcorr.shards.index.layout import LEDGER

from .errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    out, chosen = arguments.out, {"config": arguments.config, "settings": arguments.set, "videos": arguments.videos}
    if arguments.dry_run:
        print(avcorr.estimate(arguments.source, workers=arguments.workers, **chosen).describe())
        return 0
    done = avcorr.shard(
        arguments.source, out, work=arguments.work, retry=arguments.retry, energon=arguments.energon,
        dali=arguments.dali, workers=arguments.workers, **chosen,
    )  # fmt: skip
    skipped = f" + skipped {done.skipped}" if done.skipped else ""
    print(f"inputs {done.inputs} = packed {done.packed} + failed {done.failed}{skipped}")
    for code, count in done.reasons.items():
        print(f"  {code}: {count}")
    print(f"{done.shards} shards, {done.size / 1e6:.1f} MB, in {done.seconds:.1f} s: {out}")
    if not done.packed:
        raise CommandError(f"nothing could be packed; {out}/{LEDGER} says why for each input")
    if arguments.strict and done.failed:
        raise CommandError(f"{done.failed} inputs failed and --strict was given; the ledger says why")
    return 0
