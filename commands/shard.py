"""Decode videos into shards."""

import argparse
import logging
from contextlib import nullcontext
from pathlib import Path

from avcorr.configs.load import load_config
from avcorr.pipeline.errors import REASONS
from avcorr.pipeline.packing.estimate import estimate
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.packing.prepare import read_sources
from avcorr.pipeline.packing.repair import remember_sources
from avcorr.pipeline.packing.upload import Upload, default_work_folder
from avcorr.shards.exports.dali import write_dali
from avcorr.shards.exports.energon import write_energon
from avcorr.shards.stores.local import LocalStore
from avcorr.shards.stores.open import open_store

from .errors import CommandError

logger = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    settings = load_config(arguments.config, arguments.set).shard
    retry = _codes(arguments.retry)
    root = _folder(arguments)
    with nullcontext() if open_store(arguments.out).is_local else Upload(arguments.out, root) as upload:
        if upload and not arguments.dry_run:
            upload.begin()
        sources = read_sources(
            arguments.source, root, settings, videos=arguments.videos, workers=arguments.workers,
            dry_run=arguments.dry_run,
        )  # fmt: skip
        shared, example = sources.in_two_splits()
        if shared:
            logger.warning("the list puts %d source videos into two splits, %s for one", shared, example)
        plan = estimate(sources, settings).describe()
        if arguments.dry_run:
            print(plan)
            return 0
        logger.info("%s", plan)
        summary = pack(sources, root, settings, workers=arguments.workers, retry=retry, upload=upload)
        remember_sources(root, arguments.source, arguments.videos)
        if arguments.energon and summary.packed:
            write_energon(root)
        if arguments.dali and summary.packed:
            write_dali(root)
        if upload:
            upload.finish()
    skipped = f" + skipped {summary.skipped}" if summary.skipped else ""
    print(f"inputs {summary.inputs} = packed {summary.packed} + failed {summary.failed}{skipped}")
    for code, count in summary.reasons.items():
        print(f"  {code}: {count}")
    print(f"{summary.shards} shards, {summary.size / 1e6:.1f} MB, in {summary.seconds:.1f} s: {arguments.out}")
    if not summary.packed:
        raise CommandError(f"nothing could be packed; {root / '.avcorr' / 'ledger.jsonl'} says why for each input")
    if arguments.strict and summary.failed:
        raise CommandError(f"{summary.failed} inputs failed and --strict was given; the ledger says why")
    return 0


def _folder(arguments: argparse.Namespace) -> Path:
    """Return the folder in which the shards are made."""
    store = open_store(arguments.out)
    if isinstance(store, LocalStore):
        return store.root
    folder: Path = arguments.work or default_work_folder(arguments.out)
    return folder


def _codes(text: str) -> frozenset[str]:
    codes = frozenset(text.split(",")) if text else frozenset()
    for code in sorted(codes - set(REASONS)):
        raise CommandError(f"--retry {code}: there is no such reason code; the codes are {', '.join(REASONS)}")
    return codes
