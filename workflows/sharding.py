"""Videos into shards."""

import logging
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from avcorr.configs.load import Overrides, Recipe, load_config
from avcorr.errors import Error
from avcorr.files import local_path
from avcorr.limits import workers_for
from avcorr.lock import locked
from avcorr.pipeline.errors import REASONS
from avcorr.pipeline.packing.output import open_output
from avcorr.pipeline.packing.pack import PackSummary, pack
from avcorr.pipeline.packing.plan import Estimate
from avcorr.pipeline.packing.plan import estimate as estimate_sources
from avcorr.pipeline.packing.prepare import read_sources
from avcorr.pipeline.packing.repair import remember_sources
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.source import SourceList
from avcorr.shards.dataset import Dataset
from avcorr.shards.exports.dali import write_dali
from avcorr.shards.exports.energon import write_energon
from avcorr.shards.index.layout import LEDGER
from avcorr.shards.index.source_columns import write_source_columns

logger = logging.getLogger(__name__)
Sources = str | Path | Sequence[str | Path]


def shard(
    source: Sources,
    out: str | Path,
    *,
    config: Recipe = None,
    settings: Overrides = (),
    videos: str | Path | None = None,
    work: str | Path | None = None,
    retry: Collection[str] = (),
    energon: bool = False,
    dali: bool = False,
    accept_changed: bool = False,
    workers: int | None = None,
) -> PackSummary:
    """Decode videos into shards; called again after an interruption, it goes on where it was.

    Args:
        source: a folder of videos or tars, one or more tars, VGGSound's CSV, or a CSV of paths (docs/sharding.md).
        out: folder of the dataset, or s3://, gs:// or az://.
        videos: folder that the names of VGGSound's CSV are looked up in.
        work: folder in which shards for a bucket are made; None: one below the user's cache folder.
        retry: reason codes; inputs that failed so in an earlier call are tried again.
        accept_changed: go on where files have changed since they were packed; what is packed of them stays as it is.
        energon, dali: write what Megatron Energon or NVIDIA DALI read beside the tars, too.

    Returns:
        How many inputs were packed, failed or were skipped; a failed input is no exception, the ledger says why.

    Raises:
        Error: for settings or sources that cannot be understood, or when `out` holds something else or cannot be
            written to.

    Example:
        >>> done = avcorr.shard("videos", "data/new", settings={"shard.clip_seconds": 3.0})
        >>> done.inputs, done.packed, done.shards
        (12, 12, 2)
    """
    chosen = load_config(config, settings).shard
    for code in sorted(set(retry) - set(REASONS)):
        raise Error(f"--retry {code}: there is no such reason code; the codes are {', '.join(REASONS)}")
    given, paths, threads = local_path(videos) if videos else None, _paths(source), workers_for(workers)
    output = open_output(out, work)
    root = output.root
    with locked(root, "sharded", "choose another --out", then="run the same command again to go on"), output:
        sources = _read(paths, root, chosen, given, threads)
        logger.info("%s", estimate_sources(sources, chosen).describe())
        summary = pack(sources, output, chosen, workers=threads, retry=frozenset(retry), accept_changed=accept_changed)
        remember_sources(root, paths, given)
        write_source_columns(root, ((each.key, each.columns) for each in sources.sources))
        if "missing" not in retry and (late := _count_late(sources, root)):
            logger.info("%d inputs that were missing are there now; --retry missing packs them", late)
        if energon and summary.packed:
            write_energon(root)
        if dali and summary.packed:
            write_dali(root)
        output.finish()
    return summary


def estimate(
    source: Sources,
    out: str | Path | None = None,
    *,
    config: Recipe = None,
    settings: Overrides = (),
    videos: str | Path | None = None,
    workers: int | None = None,
) -> Estimate:
    """Say what `shard` would make of the same arguments: clips, hours, bytes, shards. Nothing is written.

    A list of ids needs no `videos`: before a download the whole list is counted. With a folder `out`, what is free
    there is told beside.

    Example:
        >>> plan = avcorr.estimate("videos", settings={"shard.clips_per_shard": 4})
        >>> plan.inputs, plan.shards
        (12, 3)
    """
    chosen = load_config(config, settings).shard
    threads = workers_for(workers)
    sources = _read(_paths(source), None, chosen, local_path(videos) if videos else None, threads)
    return estimate_sources(sources, chosen, _free_bytes(out) if out is not None else None)


def _free_bytes(out: str | Path) -> int | None:
    """Return how much a folder's disk, or that of the first folder above that is there, has free; None of a bucket."""
    if "://" in str(out):
        return None
    place = local_path(out).absolute()
    return shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free


def _count_late(sources: SourceList, root: Path) -> int:
    """Return how many inputs were missing when their shard was made, and are there now."""
    if not (root / LEDGER).exists():
        return 0
    missing = {row["source"] for row in Dataset(root).ledger() if row["code"] == "missing"}
    return sum(os.path.exists(each.path) for each in sources.sources if each.name in missing and not each.problem)


def _paths(source: Sources) -> list[Path]:
    given = [source] if isinstance(source, str | Path) else source
    for path in given:
        if "://" in str(path):
            raise Error(f"{path}: videos are read from folders of this machine; download or mount them first")
    return [Path(path) for path in given]


def _read(
    paths: Sequence[Path], root: Path | None, settings: ShardSettings, videos: Path | None, workers: int
) -> SourceList:
    """Return the inputs, and warn of source videos in two splits; without a root, nothing is kept for the next call."""
    sources = read_sources(paths, root, settings, videos=videos, workers=workers)
    for note in sources.notes:
        logger.info("%s", note)
    shared, example = sources.in_two_splits()
    if shared:
        logger.warning("the list puts %d source videos into two splits, %s for one", shared, example)
    return sources
