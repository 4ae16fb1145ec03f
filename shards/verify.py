"""Find everything that is wrong with a dataset, instead of stopping at the first.

Quick: the index itself, and each shard's presence, size and last blocks. Full: every byte, by checksum, and every
member against the format. Shards are checked side by side; what is held in memory is one clip a worker and the keys.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .audit import Audit, audit_shard, row_digest
from .errors import DatasetMismatchError
from .index import HIDDEN, ShardName, read_dataset
from .problem import Problem

__all__ = ["Audit", "Problem", "verify"]

_STEM = re.compile(r"[a-z][a-z0-9]{0,20}-\d{6}")


def verify(
    root: Path, *, full: bool = False, workers: int = 1, progress: Callable[[Audit], None] | None = None
) -> Iterator[Problem]:
    """Yield the problems of the dataset under `root`; none when all is well.

    Args:
        root: the dataset's folder.
        full: read every byte and check every member; else only sizes, ends and the index.
        workers: shards checked at once; with more than one, the full check runs in processes of their own.
        progress: called with what was found of each shard.

    Raises:
        ShardError: when there is no index to check against.
    """
    dataset = read_dataset(root)
    if dataset is None:
        raise DatasetMismatchError(f"{root} holds no shards (no {HIDDEN}/dataset.json); make some with: run.py shard")
    records = sorted((root / HIDDEN / "shards").glob("*.json"))
    keys: dict[str, str] = {}
    audits: list[Audit] = []
    for audit in _audits(root, records, _longest(dataset), full=full, workers=workers):
        yield from audit.problems
        yield from _shared_keys(audit, keys)
        audits.append(replace(audit, keys=(), problems=()))
        if progress is not None:
            progress(audit)
    yield from _folder_problems(root, dataset, audits)
    if not any(audit.damaged for audit in audits):
        yield from _ledger_problems(root, dataset, audits)
    yield from _leftovers(root)


def _longest(dataset: dict[str, Any]) -> float | None:
    settings = dataset.get("settings")
    value = settings.get("clip_seconds") if isinstance(settings, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _audits(root: Path, records: list[Path], longest: float | None, *, full: bool, workers: int) -> Iterator[Audit]:
    """Yield the audit of each shard in the order of the records."""
    if workers == 1 or len(records) < 2:
        yield from (audit_shard(root, path, longest, full=full) for path in records)
        return
    workers = min(workers, len(records))
    executor: Executor = (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if full else ThreadPoolExecutor(workers)
    )
    try:
        calls = (executor.submit(audit_shard, root, path, longest, full=full) for path in records)
        yield from _in_order(calls, ahead=4 * workers)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _in_order(calls: Iterator[Future[Audit]], ahead: int) -> Iterator[Audit]:
    """Yield results in the order of the calls, with at most `ahead` of them begun."""
    window = list(islice(calls, ahead))
    while window:
        yield window.pop(0).result()
        window += islice(calls, 1)


def _shared_keys(audit: Audit, keys: dict[str, str]) -> Iterator[Problem]:
    """Note the shard's keys; say which of them another shard has."""
    where = audit.path or f"{HIDDEN}/shards/{audit.stem}.json"
    for key in dict.fromkeys(audit.keys):
        other = keys.setdefault(key.lower(), where)
        if other != where:
            yield Problem(where, "duplicate_key", f"lies in {other} too (upper and lower case are one)", key)


def _folder_problems(root: Path, dataset: dict[str, Any], audits: Sequence[Audit]) -> Iterator[Problem]:
    """Compare the tars that a loader would see with the records, and look for gaps in the numbers."""
    name = _name(dataset, audits)
    known = {audit.path for audit in audits}
    stems = {audit.stem: audit for audit in audits}
    lost: set[str] = set()
    for path in _visible_tars(root):
        stem = Path(path).stem.removeprefix(f"{name}-")
        split, _, number = stem.rpartition("-")
        if path in known:
            continue
        if not re.fullmatch(r"\d{6}", number) or path != ShardName(name, split, int(number)).path:
            yield Problem(path, "extra_shard", "is not in the index: a loader would read it all the same")
        elif stem not in stems:
            lost.add(stem)
            yield Problem(path, "missing_record", "has no record in the index")
        elif not stems[stem].damaged:  # else it is reported already
            yield Problem(path, "extra_shard", "its record says that none of its inputs gave a clip")
    highest: dict[str, int] = {}
    for split, _, number in (stem.rpartition("-") for stem in stems if _STEM.fullmatch(stem)):
        highest[split] = max(highest.get(split, 0), int(number))
    for split, last in sorted(highest.items()):
        for shard in (ShardName(name, split, number) for number in range(last)):
            if shard.stem not in stems and shard.stem not in lost:
                yield Problem(shard.path, "missing_shard", "neither shard nor record is there; later numbers are")


def _name(dataset: dict[str, Any], audits: Sequence[Audit]) -> str:
    """Return the first part of the shards' names."""
    settings = dataset.get("settings")
    if isinstance(settings, dict) and isinstance(settings.get("name"), str):
        return str(settings["name"])
    return next((Path(audit.path).stem.removesuffix(f"-{audit.stem}") for audit in audits if audit.path), "")


def _visible_tars(root: Path) -> Iterator[str]:
    """Yield the paths of all tars that are not below a hidden folder, sorted within each folder."""
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            if file.endswith(".tar") and not file.startswith("."):
                yield Path(parent, file).relative_to(root).as_posix()


def _ledger_problems(root: Path, dataset: dict[str, Any], audits: Sequence[Audit]) -> Iterator[Problem]:
    """Compare the number of inputs with the records, and the ledger with their rows."""
    inputs, wanted = sum(audit.inputs for audit in audits), dataset.get("inputs")
    where = f"{HIDDEN}/ledger.jsonl"
    if type(wanted) is int and inputs < wanted:
        text = f"the records tell of {inputs} of {wanted} inputs; run the sharding again, or repair"
        yield Problem(".", "unfinished", text)
        return
    if type(wanted) is int and inputs > wanted:
        yield Problem(".", "ledger", f"the records tell of {inputs} inputs; the dataset has {wanted}")
    path = root / where
    if not path.exists():
        if wanted is not None:
            yield Problem(where, "ledger", "is not there")
        return
    digest = 0
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                if row["code"] != "duplicate":
                    digest += row_digest(row)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        yield Problem(where, "ledger", f"cannot be read ({error})")
        return
    if digest != sum(audit.rows_digest for audit in audits):
        yield Problem(where, "ledger", "its rows are not those of the records")


def _leftovers(root: Path) -> Iterator[Problem]:
    """Name what an interrupted run left."""
    work = root / HIDDEN / "work"
    found = [path for path in work.rglob("*") if path.is_file()]
    found += (root / HIDDEN).glob(".*.tmp")
    found += (root / HIDDEN / "shards").glob(".*.tmp")
    for path in sorted(found):
        text = f"{path.stat().st_size} bytes of an interrupted run"
        yield Problem(path.relative_to(root).as_posix(), "work", text)
