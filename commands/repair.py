"""Make again what verify finds damaged, byte for byte as it was recorded."""

import argparse
import logging
from pathlib import Path

from avcorr.pipeline.packing.prepare import read_sources
from avcorr.pipeline.packing.repair import recall_sources, repair_settings
from avcorr.pipeline.packing.repair import repair as mend

from .errors import CommandError

logger = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    root: Path = arguments.root
    given, videos = (arguments.source, arguments.videos) if arguments.source else recall_sources(root)
    settings = repair_settings(root, arguments.ffmpeg)
    sources = None
    if given and all(path.exists() for path in given):
        sources = read_sources(given, root, settings, videos=videos, workers=arguments.workers)
    elif given:
        logger.warning("the source %s is not there; only what needs no source is repaired", given[0])
    result = mend(root, sources, settings, workers=arguments.workers, delete_extra=arguments.delete_extra)
    for path, how in result.repaired.items():
        print(f"repaired: {path}: {how}")
    for path, why in result.failed.items():
        print(f"not repaired: {path}: {why}")
    if result.failed:
        raise CommandError(f"{len(result.failed)} things could not be repaired in {root}")
    print(f"all well: {len(result.repaired)} repaired")
    return 0
