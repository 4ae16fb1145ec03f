"""Make a lost index again from the shards: every clip's metadata and place lie in them, but not what failed."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from avcorr.shards.ahead import map_ahead
from avcorr.shards.checks.archive_check import Scan, scan_shard
from avcorr.shards.errors import DatasetMismatchError, ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.index.clip_table import read_tables
from avcorr.shards.index.facts import DatasetFacts
from avcorr.shards.index.layout import DATASET, MANIFEST, ShardName, write_json
from avcorr.shards.index.shard_list import iter_entries
from avcorr.shards.stores.local import LocalStore
from avcorr.shards.writer import publish_record

_TOLD = ("decoder", "ffmpeg", "sample_rate", "skip_nonref")
"""What the clips tell of how they were made."""


def rebuild_index(root: Path, workers: int = 1) -> None:
    """Write records, tables, `dataset.json`, card and manifest of a folder of shards; run again, it goes on.

    Args:
        root: the folder that the splits lie in.
        workers: shards that are read at once.

    Raises:
        DatasetMismatchError: when the index is there, or there are no shards, or those of two datasets.
        ShardFormatError: when a shard is damaged; no index is made then.
    """
    if (root / MANIFEST).exists():
        raise DatasetMismatchError(f"{root} has its index ({MANIFEST}); what is wrong with it mends: avcorr repair")
    shards = _find(root)
    made = [shard for shard in shards if not (root / shard.record).exists()]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
        scans = map_ahead(executor, partial(scan_shard, root), [shard.path for shard in made], ahead=2 * workers)
        for shard, scan in zip(made, scans, strict=True):
            _publish(root, shard, scan)
    entries = tuple(iter_entries(root))
    told: dict[str, Counter[Any]] = {name: Counter() for name in _TOLD}
    for table in read_tables(LocalStore(root), entries, *_TOLD):
        for name, values in told.items():
            values.update(table.arrow[name].to_pylist())
    known = {name: next(iter(values)) for name, values in told.items() if len(values) == 1}
    facts = DatasetFacts(ffmpeg=known.pop("ffmpeg", "unknown"), settings={"name": shards[0].dataset, **known})
    if not (root / DATASET).exists():
        write_json(root / DATASET, asdict(facts))
    finish_dataset(root)


def _find(root: Path) -> list[ShardName]:
    paths = [path.relative_to(root).as_posix() for path in root.glob("*/*.tar") if path.parent.name[:1] not in "._"]
    try:
        shards = sorted(ShardName.parse(path) for path in paths)
    except ValueError as error:
        raise DatasetMismatchError(f"{root}: {error}; move it elsewhere, then run the same again") from error
    if len({shard.dataset for shard in shards}) != 1:
        names = " and ".join(sorted({shard.dataset for shard in shards})) or "none"
        raise DatasetMismatchError(f"{root} has to hold the shards of one dataset; there are those of {names}")
    return shards


def _publish(root: Path, shard: ShardName, scan: Scan) -> None:
    if scan.problems:
        first = scan.problems[0]
        raise ShardFormatError(f"{root / first.where} is damaged ({first.code}: {first.message}); move it elsewhere")
    columns = scan.table.arrow().select(["key", "source", "split"]).to_pylist()
    rows = [row | {"status": "packed", "code": ""} for row in columns]
    publish_record(root, shard, scan.table, rows, size=scan.size, sha256=scan.sha256, md5=scan.md5)
