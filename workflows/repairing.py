"""A damaged dataset, as it was recorded."""

import logging
from collections.abc import Sequence
from pathlib import Path

from avcorr.files import local_path
from avcorr.limits import workers_for
from avcorr.lock import locked
from avcorr.pipeline.packing.prepare import read_sources
from avcorr.pipeline.packing.repair import Repair, recall_sources, repair_settings
from avcorr.pipeline.packing.repair import repair as mend

logger = logging.getLogger(__name__)


def repair(
    root: str | Path,
    source: Sequence[str | Path] = (),
    *,
    videos: str | Path | None = None,
    ffmpeg: str = "",
    delete_extra: bool = False,
    workers: int | None = None,
) -> Repair:
    """Make again what `verify` finds damaged, byte for byte as it was recorded.

    Returns what is sound again and how, what is not and why. Raises Error when there is no dataset in the folder.

    Args:
        source, videos: as for `shard`, where they lie elsewhere now.
        ffmpeg: path of an ffmpeg of the recorded version; "": the one that imageio-ffmpeg ships.
        delete_extra: delete tars that are not of the dataset.

    Example:
        >>> avcorr.repair("data/shards").failed
        {}
    """
    root, threads = local_path(root), workers_for(workers)
    given, lookup = ([local_path(path) for path in source], videos) if source else recall_sources(root)
    settings = repair_settings(root, ffmpeg)
    with locked(root, "repaired", "repair a copy"):
        sources = None
        if given and all(path.exists() for path in given):
            place = local_path(lookup) if lookup else None
            sources = read_sources(given, root, settings, videos=place, workers=threads)
        elif given:
            logger.warning("the source %s is not there; only what needs no source is repaired", given[0])
        return mend(root, sources, settings, workers=threads, delete_extra=delete_extra)
