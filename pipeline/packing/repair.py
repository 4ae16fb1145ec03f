"""Make again what `verify` finds damaged, so that it is byte for byte what was recorded, or say why that cannot be.

    verify ──> damaged ──> a shadow dataset in .avcorr/work/repair: the records of all sound shards, and for the others
               shards      1. the shard itself, written anew, where only its record is lost or wrong
                           2. the packer, which makes what has no record from the sources
           ──> compare with the recorded checksum ──> publish
           ──> tables from their shards ──> ledger, exports, manifest from the records

Nothing that is there is touched before what replaces it is whole, so an interrupted repair is just run again.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.checks.problem import Problem
from avcorr.shards.errors import DatasetMismatchError, ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.index.clip_table import repair_table
from avcorr.shards.index.facts import read_dataset
from avcorr.shards.index.layout import HIDDEN, ShardName, write_json
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.index.record import iter_records

from ..settings import ShardSettings
from ..sources.source import SourceList
from .pack import pack
from .shadow import Repair, Shadow

Row = Mapping[str, Any]
_SOURCES = "sources.json"
_NO_SOURCES = "cannot be made again without the sources: give --source, and --videos where they were given"


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
    """
    problems = [problem for problem in verify(root, full=True, workers=workers) if problem.is_failure]
    result = Repair(extra=[problem.path for problem in problems if problem.code == "extra_shard"])
    if not problems:
        return result
    work = Shadow(root, settings.name, problems)
    work.cast_shadow()
    derived = [name for name in work.damaged if work.derive(name)]
    unfinished = any(problem.path == "." and problem.code == "unfinished" for problem in problems)
    reason = _NO_SOURCES
    if sources is not None and (unfinished or len(derived) < len(work.damaged)):
        try:
            pack(sources, work.shadow, settings, workers=workers)
        except DatasetMismatchError as error:
            reason = f"the sources, settings or ffmpeg given are not those that it was made with ({error})"
    for name in sorted({*work.damaged, *work.made()}):
        work.adopt(name, name in derived, reason, result)
    if delete_extra:
        for path in result.extra:
            (root / path).unlink()
            result.repaired[path] = "deleted, as asked"
    _mend_tables(root, problems, work.damaged, result)
    _finish(root, problems, result)
    shutil.rmtree(work.shadow)
    left = [problem for problem in verify(root, workers=workers) if problem.is_failure]
    for problem in left:
        result.repaired.pop(problem.path, None)
        result.failed.setdefault(problem.path, f"{problem.code}: {problem.message}")
    return result


def _mend_tables(root: Path, problems: Sequence[Problem], damaged: Sequence[ShardName], result: Repair) -> None:
    """Make the tables of sound shards again; those of the others came with the shard."""
    stems = {name.stem for name in damaged}
    for path in dict.fromkeys(problem.path for problem in problems if problem.code == "table"):
        if Path(path).stem not in stems:
            repair_table(root, (root / path).with_suffix(".json"))
            result.repaired[path] = "made again from the shard"


def _finish(root: Path, problems: Sequence[Problem], result: Repair) -> None:
    """Write again from the records what tells of all shards, when all of them can be read and none is missing."""
    try:
        rows: list[Row] = [row for record in iter_records(root) for row in record.ledger]
    except ShardFormatError:
        return  # the last look tells it
    path = root / HIDDEN / "ledger.jsonl"
    whole = len(rows) == (read_dataset(root) or {}).get("inputs", len(rows))
    if whole or path.exists():
        write_ledger(root, [*rows, *_duplicate_rows(path)])
    if whole:
        finish_dataset(root)
        for problem in problems:
            if problem.code in {"manifest", "export", "ledger"}:
                result.repaired[problem.path] = "written again from the records"


def _duplicate_rows(path: Path) -> list[Row]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if row["code"] == "duplicate"]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def repair_settings(root: Path, ffmpeg: str = "") -> ShardSettings:
    """Return the settings that a dataset was made with.

    Args:
        root: the dataset's folder.
        ffmpeg: the ffmpeg to use; empty: the one that imageio-ffmpeg ships. Its version must be the recorded one.

    Raises:
        ShardError: when `root` is no dataset, or what it is cannot be read.
    """
    dataset = read_dataset(root)
    if dataset is None:
        raise DatasetMismatchError(f"{root} holds no shards (no {HIDDEN}/dataset.json), so there is nothing to repair")
    try:
        return ShardSettings(**dataset["settings"], ffmpeg=ffmpeg)
    except (KeyError, TypeError, ValueError) as error:
        raise ShardFormatError(
            f"{root / HIDDEN / 'dataset.json'} has no settings that can be used ({error})"
        ) from error


def remember_sources(root: Path, sources: Sequence[Path], videos: Path | None) -> None:
    """Note where the sources of a dataset lie, as they were given, for `recall_sources`."""
    values = {"sources": [str(path) for path in sources], "videos": str(videos) if videos else ""}
    write_json(root / HIDDEN / _SOURCES, values)


def recall_sources(root: Path) -> tuple[list[Path], Path | None]:
    """Return where the sources lay, relative to the folder that the program ran in; none where it is not known."""
    try:
        values = json.loads((root / HIDDEN / _SOURCES).read_bytes())
        return [Path(path) for path in values["sources"]], Path(values["videos"]) if values["videos"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return [], None
