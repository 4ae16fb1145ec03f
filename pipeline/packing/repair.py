"""Make again what `verify` finds damaged, so that it is byte for byte what was recorded, or say why that cannot be.

    verify ──> damaged ──> where only the record is lost or wrong: the record, from the shard
               shards      else: the packer makes the shard from the sources, beside the one that is there
                           ──> read back, compared with the recorded checksums ──> published, or deleted
           ──> tables from their shards ──> ledger, exports, manifest from the records

Nothing that is there is touched before what replaces it is whole, so an interrupted repair is just run again.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from avcorr.files import read_file
from avcorr.json_file import read_json
from avcorr.shards.checks.archive_check import scan_shard
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.checks.problem import Problem
from avcorr.shards.errors import DatasetMismatchError, ShardError, ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.index.facts import read_dataset, require_dataset
from avcorr.shards.index.layout import DATASET, INDEX, LEDGER, RECORDS, ShardName, write_json
from avcorr.shards.index.ledger import iter_ledger, write_ledger
from avcorr.shards.index.record import MOST_RECORD, ShardRecord, read_record, recorded_sha256
from avcorr.shards.index.shard_list import iter_records, read_manifest
from avcorr.shards.stores.local import LocalStore
from avcorr.shards.writer import discard_work, publish_record, remake_table

from ..settings import ShardSettings
from ..sources.source import SourceList
from .output import Output
from .pack import make_shards, sha256_of

Row = Mapping[str, Any]
_SHARD = re.compile(r"(?:.*-)?([a-z][a-z0-9]{0,20})-(\d{6})\.(?:tar|json|parquet)")
_SOURCES = "sources.json"
_NO_SOURCES = "cannot be made again without the sources: give --source, and --videos where they were given"


@dataclass(slots=True)
class Repair:
    """What became of the damage."""

    repaired: dict[str, str] = field(default_factory=dict)
    """Path of each file that is sound again, and how."""
    failed: dict[str, str] = field(default_factory=dict)
    """Path of what is not, and why."""
    extra: list[str] = field(default_factory=list)
    """Tars that are not of the dataset; deleted only where that was asked for."""


def repair(
    root: Path, sources: SourceList | None, settings: ShardSettings, *, workers: int = 1, delete_extra: bool = False
) -> Repair:
    """Repair the dataset under `root`.

    Args:
        root: the dataset's folder.
        sources: what it was made of; None to do only what can be done without.
        settings: as `repair_settings` gives them.
        workers: how many shards are checked, and then how many videos decoded, at once.
        delete_extra: whether tars that are not of the dataset are deleted.

    Raises:
        ShardError: when `root` is no dataset, or what it is cannot be read.
        DecoderError: when there is no ffmpeg.
        OutputError: when `root` cannot be written to, or its disk is full.
    """
    problems = [problem for problem in verify(root, full=True, workers=workers) if _is_damage(problem)]
    result = Repair(extra=[problem.path for problem in problems if problem.code == "extra_shard"])
    if not problems:
        return result
    shards = _DamagedShards(root, settings.name, problems, result)
    damaged = [name for name in sorted(shards.codes) if not shards.rebuild_record(name)]
    unfinished = any(problem.path == "." and problem.code == "unfinished" for problem in problems)
    reason = _NO_SOURCES
    if sources is not None and (unfinished or damaged):
        try:
            make_shards(
                sources,
                Output(root),
                settings,
                workers=workers,
                again=damaged,
                accepts=shards.accepts,
                accept_changed=True,
            )
        except DatasetMismatchError as error:
            reason = f"the sources, settings or ffmpeg given are not those that it was made with ({error})"
    for name in damaged:
        if name.path not in result.repaired:
            result.failed.setdefault(name.path, reason)
    if delete_extra:
        for path in result.extra:
            (root / path).unlink()
            result.repaired[path] = "deleted, as asked"
    for path in dict.fromkeys(problem.path for problem in problems if problem.code == "table"):
        shard = _shard_of(path, settings.name)
        if shard and shard not in shards.codes:  # else its table came with the shard
            remake_table(root, shard)
            result.repaired[path] = "made again from the shard"
    _finish(root, problems, result)
    for problem in verify(root, workers=workers):
        if _is_damage(problem):
            result.repaired.pop(problem.path, None)
            result.failed.setdefault(problem.path, f"{problem.code}: {problem.message}")
    return result


def _is_damage(problem: Problem) -> bool:
    return problem.is_failure and problem.code != "no_clip"


def _shard_of(path: str, dataset: str) -> ShardName | None:
    """Return the shard that a tar, a record or a table is of; None where its name is that of none."""
    match = _SHARD.fullmatch(Path(path).name)
    return ShardName(dataset, match[1], int(match[2])) if match else None


class _DamagedShards:
    """The damaged shards, and what is known of how they were."""

    def __init__(self, root: Path, dataset: str, problems: Iterable[Problem], result: Repair) -> None:
        self._root, self._result = root, result
        self.codes: dict[ShardName, set[str]] = {}
        """What is wrong with each damaged shard."""
        for problem in problems:
            name = _shard_of(problem.path, dataset)
            if name and problem.code not in ("extra_shard", "table", "export"):
                self.codes.setdefault(name, set()).add(problem.code)
        self._checksums = _recorded_checksums(root)
        self._lost = {name.stem for name in self.codes}

    def rebuild_record(self, name: ShardName) -> bool:
        """Write the record and the table of a shard again from the shard; return whether that could be done."""
        path = self._root / name.path
        if self.codes[name] & {"end", "missing_shard", "unreadable"} or not path.is_file():
            return False
        scan = scan_shard(self._root, name.path)
        if scan.problems or scan.sha256 not in self._checksums.get(name.stem, {scan.sha256}):
            return False
        rows = self._rows(name, scan.keys)
        if rows is None:
            return False
        discard_work(self._root, name)
        try:
            publish_record(self._root, name, scan.table, rows, size=scan.size, sha256=scan.sha256, md5=scan.md5)
        except (ValueError, OverflowError):
            return False  # no table can hold it
        self._lost.remove(name.stem)
        self._result.repaired[name.path] = "its record was made again from the shard"
        return True

    def accepts(self, record: ShardRecord) -> bool:
        """Return whether a shard that was made again has a recorded checksum, or that of the shard that is there."""
        name, path = ShardName.parse(record.path), self._root / record.path
        known = self._checksums.get(name.stem, {record.sha256})
        if record.sha256 not in known and not (path.is_file() and sha256_of(path) == record.sha256):
            self._result.failed[record.path] = f"made again, it is not what was recorded: {self._changes(name, record)}"
            return False
        self._result.repaired[record.path] = "made again"
        return True

    def _rows(self, name: ShardName, keys: tuple[str, ...]) -> list[Row] | None:
        """Return the ledger's rows of a shard, None where the ledger does not tell them for sure."""
        try:
            ledger = iter_ledger(LocalStore(self._root))
            rows = {row["key"]: row for row in ledger if row["code"] != "duplicate"}
        except ShardError:
            return None
        other: set[str] = set()
        for path in (self._root / RECORDS).glob("*.json"):
            if path.stem not in self._lost:
                with suppress(ShardFormatError):
                    other |= {row["key"] for row in read_record(path).ledger}
        own = [rows[key] for key in keys if key in rows and key not in other and rows[key]["status"] == "packed"]
        failed = [row for key, row in rows.items()
                  if key not in other and row["status"] != "packed" and row["split"] == name.split]  # fmt: skip
        alone = sum(damaged.split == name.split for damaged in self.codes) == 1
        return [*own, *failed] if len(own) == len(keys) and (alone or not failed) else None

    def _changes(self, name: ShardName, made: ShardRecord) -> str:
        """Say which inputs came out otherwise than recorded."""
        before: dict[str, tuple[str, str]] = {}
        with suppress(ShardFormatError, OSError):
            before = _outcomes(read_record(self._root / name.record))
        after = _outcomes(made)
        changed = [key for key in after if before.get(key, after[key]) != after[key]]
        if not changed:
            return "a source file or the ffmpeg has changed"
        first = changed[0]
        was, now = (" ".join(filter(None, states[first])) for states in (before, after))
        return f"{len(changed)} inputs came out otherwise, {first} for one was {was} and is {now}"


def _outcomes(record: ShardRecord) -> dict[str, tuple[str, str]]:
    return {row["key"]: (row["status"], row["code"]) for row in record.ledger}


def _recorded_checksums(root: Path) -> dict[str, set[str]]:
    """Return the checksums of each shard that its record or the manifest names: one of the two may be damaged."""
    found: dict[str, set[str]] = {}
    for path in (root / RECORDS).glob("*.json"):
        with suppress(OSError):
            if known := recorded_sha256(read_file(path, MOST_RECORD), path.stem):
                found[path.stem] = {known}
    with suppress(ShardError):
        for entry in read_manifest(root).shards:
            found.setdefault(entry.stem, set()).add(entry.sha256)
    return found


def _finish(root: Path, problems: Sequence[Problem], result: Repair) -> None:
    """Write again from the records what tells of all shards, when all of them can be read and none is missing."""
    try:
        rows: list[Row] = [row for record in iter_records(root) for row in record.ledger]
    except ShardFormatError:
        return  # the last look tells it
    path = root / LEDGER
    wanted = require_dataset(root).inputs
    whole = wanted is None or len(rows) == wanted
    if whole or path.exists():
        write_ledger(root, [*rows, *_duplicate_rows(root)])
    if whole:
        finish_dataset(root)
        for problem in problems:
            if problem.code in {"manifest", "export", "ledger"}:
                result.repaired[problem.path] = "written again from the records"


def _duplicate_rows(root: Path) -> list[Row]:
    try:
        return [row for row in iter_ledger(LocalStore(root)) if row["code"] == "duplicate"]
    except ShardError:
        return []


def repair_settings(root: Path, ffmpeg: str = "") -> ShardSettings:
    """Return the settings that a dataset was made with, but for the path of ffmpeg, "" for that of imageio-ffmpeg.

    Raises:
        ShardError: when `root` is no dataset, or what it is cannot be read.
    """
    dataset = read_dataset(root)
    if dataset is None:
        text = f"holds no shards (no {DATASET}), so there is nothing to repair; a lost index: avcorr index"
        raise DatasetMismatchError(f"{root} {text}")
    try:
        return ShardSettings(**dataset.settings, ffmpeg=ffmpeg)
    except (KeyError, TypeError, ValueError) as error:
        raise ShardFormatError(f"{root / DATASET} has no settings that can be used ({error})") from error


class _Sources(TypedDict):
    sources: list[str]
    videos: str


def remember_sources(root: Path, sources: Sequence[Path], videos: Path | None) -> None:
    """Note where the sources of a dataset lie, as they were given, for `recall_sources`."""
    values = {"sources": [str(path) for path in sources], "videos": str(videos) if videos else ""}
    write_json(root / INDEX / _SOURCES, values)


def recall_sources(root: Path) -> tuple[list[Path], Path | None]:
    """Return where the sources lay, relative to the folder that the program ran in; none where it is not known."""
    try:
        values = read_json(root / INDEX / _SOURCES, TypeAdapter(_Sources))
        return [Path(path) for path in values["sources"]], Path(values["videos"]) if values["videos"] else None
    except (OSError, ValueError):
        return [], None
