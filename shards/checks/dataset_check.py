"""Find everything that is wrong with a dataset, instead of stopping at the first.

Quick: the index itself with all that is derived from it, and each shard's presence, size and last blocks. Full: every
byte, by checksum, and every member against the format. Shards are checked side by side; what is held in memory is one
clip and one shard's table a worker, and the keys.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

from avcorr.files import is_temporary

from ..ahead import map_ahead
from ..errors import DatasetMismatchError, MissingObjectError, ShardError, ShardFormatError, StoreError
from ..index.facts import DatasetFacts, require_dataset
from ..index.layout import COLUMNS, INDEX, LEDGER, MANIFEST, RECORDS, STEM, TABLES, WORK, ShardName, record_path
from ..index.ledger import iter_ledger
from ..index.shard_list import read_manifest, record_names
from ..store import Root, Store
from ..stores.open import open_store
from .exports_check import Others, audit_exports, find_others
from .problem import Problem
from .shard_check import Audit, audit_shard, row_digest

__all__ = ["Audit", "Problem", "verify"]

_ASKED_AT_ONCE = 32


def verify(
    root: Root, *, full: bool = False, workers: int = 1, progress: Callable[[Audit], None] | None = None
) -> Iterator[Problem]:
    """Yield the problems of the dataset under `root`; none when all is well.

    Args:
        root: where the dataset lies. Over HTTP, which has no listing, files that the index does not know stay unseen.
        full: read every byte and check every member; else only sizes, ends and the index.
        workers: shards checked at once; with more than one, the full check runs in processes of their own. Quick, a
            remote store is asked for more at once.
        progress: called with what was found of each shard.

    Raises:
        ShardError: when there is no index to check against, or the store cannot be read at all.
    """
    store = open_store(root)
    dataset = require_dataset(store)
    records = record_names(store)
    names = tuple(store.list("")) if store.lists else ()
    others = find_others(names)
    keys: dict[str, str] = {}
    audits: list[Audit] = []
    sound = True
    for audit in _audits(store, records, dataset.settings.get("clip_seconds"), others, full=full, workers=workers):
        yield from audit.problems
        sound = sound and not any(problem.code == "table" for problem in audit.problems)
        yield from _shared_keys(audit, keys)
        audits.append(replace(audit, keys=(), problems=()))
        if progress is not None:
            progress(audit)
    yield from _folder_problems(names or tuple(audit.path for audit in audits), dataset, audits)
    whole = not any(audit.damaged for audit in audits)
    if whole:
        problems = list(_ledger_problems(store, dataset, audits))
        yield from problems
        whole = not any(problem.code == "unfinished" for problem in problems)
    failed = sum(audit.inputs for audit in audits)
    if whole and failed and not any(audit.entry for audit in audits):
        yield Problem(".", "no_clip", f"no clip: {failed} of {failed} inputs failed; avcorr info says why")
    stale = list(_manifest_problems(store, audits, whole=whole))
    yield from stale
    if whole and not stale:  # else all of them are out of date, and are written anew with it
        entries = [audit.entry for audit in audits if audit.entry]
        yield from audit_exports(store, names, entries, others, full=full and sound)
    yield from _leftovers(store, names)


def _audits(
    store: Store, records: list[str], longest: float | None, others: Others, *, full: bool, workers: int
) -> Iterator[Audit]:
    """Yield the audit of each shard in the order of the records."""
    if not full and not store.is_local:
        workers = max(workers, _ASKED_AT_ONCE)
    audit = partial(audit_shard, store, longest=longest, others=others, full=full)
    if workers == 1 or len(records) < 2:
        yield from map(audit, records)
        return
    workers = min(workers, len(records))
    executor: Executor = (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if full else ThreadPoolExecutor(workers)
    )
    try:
        yield from map_ahead(executor, audit, records, ahead=4 * workers)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _shared_keys(audit: Audit, keys: dict[str, str]) -> Iterator[Problem]:
    """Note the shard's keys; say which of them another shard has."""
    where = audit.path or record_path(audit.stem)
    for key in dict.fromkeys(audit.keys):
        other = keys.setdefault(key.lower(), where)
        if other != where:
            yield Problem(where, "duplicate_key", f"lies in {other} too (upper and lower case are one)", key)


def _folder_problems(names: Sequence[str], dataset: DatasetFacts, audits: Sequence[Audit]) -> Iterator[Problem]:
    """Compare the tars that a loader would see with the records, and look for gaps in the numbers."""
    name = _name(dataset, audits)
    known = {audit.path for audit in audits}
    stems = {audit.stem: audit for audit in audits}
    lost: set[str] = set()
    for path in filter(_is_visible_tar, names):
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
    there: defaultdict[str, list[int]] = defaultdict(list)
    for match in filter(None, map(STEM.fullmatch, sorted({*stems, *lost}))):
        there[match[1]].append(int(match[2]))
    for split, numbers in sorted(there.items()):
        last = max((number for number in numbers if f"{split}-{number:06d}" in stems), default=-1)
        for before, after in pairwise([-1, *numbers]):
            if after - before > 1 and before < last:
                shard, end = ShardName(name, split, before + 1), ShardName(name, split, after - 1)
                which = shard.stem if shard == end else f"{shard.stem} to {end.stem}"
                yield Problem(shard.path, "missing_shard", f"{which}: neither shard nor record; later ones are there")


def _name(dataset: DatasetFacts, audits: Sequence[Audit]) -> str:
    """Return the first part of the shards' names."""
    if name := dataset.settings.get("name"):
        return str(name)
    return next((Path(audit.path).stem.removesuffix(f"-{audit.stem}") for audit in audits if audit.path), "")


def _is_visible_tar(path: str) -> bool:
    """Return whether a loader would find a tar: neither it nor a folder above it is hidden."""
    return path.endswith(".tar") and not any(part.startswith(".") for part in path.split("/"))


def _ledger_problems(store: Store, dataset: DatasetFacts, audits: Sequence[Audit]) -> Iterator[Problem]:
    """Compare the number of inputs with the records, and the ledger with their rows."""
    inputs, wanted = sum(audit.inputs for audit in audits), dataset.inputs
    if wanted is not None and inputs < wanted:
        text = f"the records tell of {inputs} of {wanted} inputs; run the sharding again, or repair"
        yield Problem(".", "unfinished", text)
        return
    if wanted is not None and inputs > wanted:
        yield Problem(".", "ledger", f"the records tell of {inputs} inputs; the dataset has {wanted}")
    digest = 0
    try:
        digest = sum(row_digest(row) for row in iter_ledger(store) if row["code"] != "duplicate")
    except MissingObjectError:
        if wanted is not None:
            yield Problem(LEDGER, "ledger", "is not there")
        return
    except (StoreError, ShardFormatError) as error:
        yield Problem(LEDGER, "ledger", str(error))
        return
    if digest != sum(audit.rows_digest for audit in audits):
        yield Problem(LEDGER, "ledger", "its rows are not those of the records")


def _manifest_problems(store: Store, audits: Sequence[Audit], *, whole: bool) -> Iterator[Problem]:
    """Compare the manifest with the records that can be read; an unfinished dataset has none."""
    try:
        manifest = read_manifest(store)
    except DatasetMismatchError:
        if whole:
            yield Problem(MANIFEST, "manifest", "is not there, though all inputs have been packed")
        return
    except ShardError as error:
        yield Problem(MANIFEST, "manifest", str(error))
        return
    unknown = {audit.stem for audit in audits if audit.damaged}
    listed = [entry for entry in manifest.shards if entry.stem not in unknown]
    wanted = [audit.entry for audit in audits if audit.entry]
    changed = {entry.path for entry in {*listed} ^ {*wanted}}
    nothing_in = {record_path(audit.stem) for audit in audits if not audit.damaged and not audit.entry}
    if changed:
        text = f"{len(changed)} of its shards are not as their records say, {min(changed)} for one"
    elif listed != wanted:
        text = "names shards twice or in another order than the records"
    elif nothing_in != {*manifest.empty} - {record_path(stem) for stem in unknown}:
        text = "names other records without clips than there are"
    else:
        return
    yield Problem(MANIFEST, "manifest", text)


def _leftovers(store: Store, names: Sequence[str]) -> Iterator[Problem]:
    """Name what an interrupted run left."""
    for path in names:
        folder, _, name = path.rpartition("/")
        half_written = folder in (INDEX, RECORDS, TABLES, COLUMNS) and is_temporary(name)
        if half_written or path.startswith(f"{WORK}/"):
            with suppress(StoreError):  # no regular file is none of ours
                yield Problem(path, "work", f"{store.size(path)} bytes of an interrupted run")
