"""The shadow of a dataset under repair: one of its own below `.avcorr/work`, where what is damaged is made anew."""

import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avcorr.shards.checks.archive_check import scan_shard
from avcorr.shards.checks.problem import Problem
from avcorr.shards.errors import ShardError, ShardFormatError
from avcorr.shards.format.clip import MEMBERS, Clip, ClipMetadata
from avcorr.shards.format.tar import iter_members
from avcorr.shards.index.layout import HIDDEN, ShardName, record_path
from avcorr.shards.index.manifest import read_manifest
from avcorr.shards.index.record import ShardRecord, read_record
from avcorr.shards.writer import ShardWriter, finish_publication

logger = logging.getLogger(__name__)

_SHARD = re.compile(r"(?:[a-z][a-z0-9_-]*-)?([a-z][a-z0-9]{0,20})-(\d{6})\.(?:tar|json)")
Row = Mapping[str, Any]


@dataclass(slots=True)
class Repair:
    """What became of the damage."""

    repaired: dict[str, str] = field(default_factory=dict)
    """Path of each file that is sound again, and how."""
    failed: dict[str, str] = field(default_factory=dict)
    """Path of what is not, and why."""
    extra: list[str] = field(default_factory=list)
    """Tars that are not of the dataset; deleted only where that was asked for."""


class Shadow:
    """A repair under way: which shards are damaged, and the shadow in which they are made anew."""

    def __init__(self, root: Path, dataset_name: str, problems: Iterable[Problem]) -> None:
        self.root, self.shadow = root, root / HIDDEN / "work" / "repair"
        self.damaged: list[ShardName] = []
        self._name = dataset_name
        self._codes: dict[ShardName, set[str]] = {}
        for problem in problems:
            match = _SHARD.fullmatch(Path(problem.path).name)
            if match and problem.code != "extra_shard":
                self._codes.setdefault(ShardName(dataset_name, match[1], int(match[2])), set()).add(problem.code)
        self.damaged = sorted(self._codes)
        self._recorded = _recorded_checksums(root)
        self._witnesses = _witnesses(root, self._recorded)

    def cast_shadow(self) -> None:
        """Give the shadow what the dataset is and the records of all sound shards; keep what is made already."""
        records = self.shadow / HIDDEN / "shards"
        records.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / HIDDEN / "dataset.json", self.shadow / HIDDEN / "dataset.json")
        kept = {path.stem.removeprefix(f"{self._name}-") for path in self.shadow.glob("*/*.tar")}
        for path in records.iterdir():
            if path.stem not in kept:
                path.unlink()
        damaged = {name.stem for name in self.damaged}
        for path in sorted((self.root / HIDDEN / "shards").iterdir()):
            if path.stem not in damaged and path.stem not in kept and not path.name.startswith("."):
                shutil.copyfile(path, records / path.name)

    def made(self) -> list[ShardName]:
        """Return the shards that the shadow has and the dataset has no record of."""
        found = [_SHARD.fullmatch(path.name) for path in (self.shadow / HIDDEN / "shards").glob("*.json")]
        names = [ShardName(self._name, match[1], int(match[2])) for match in found if match]
        return [name for name in names if not record_path(self.root, name).exists()]

    def derive(self, name: ShardName) -> bool:
        """Write a sound shard anew into the shadow where only its record is lost or wrong; return whether it is."""
        path = self.root / name.path
        if self._codes[name] & {"end", "missing_shard"} or not path.is_file():
            return False
        scan = scan_shard(self.root, name.path)
        if scan.problems or scan.sha256 not in self._witnesses.get(name, {scan.sha256}):
            return False
        rows = self._rows(name, scan.keys)
        if rows is None:
            return False
        try:
            _rewrite(path, self.shadow, name, scan.keys, rows)
        except ShardError as error:
            logger.info("%s: %s", name.path, error)
            return False
        return _checksum(self.shadow, name) == scan.sha256

    def adopt(self, name: ShardName, derived: bool, reason: str, result: Repair) -> None:
        """Publish what the shadow has of a shard, if it is what was recorded; else note why it is not."""
        made = record_path(self.shadow, name)
        if not made.exists():
            result.failed[name.path] = reason
            return
        record, recorded = read_record(made), self._recorded.get(name)
        target = self.root / name.path
        if recorded not in (None, record.sha256):
            there = scan_shard(self.root, name.path).sha256 if target.is_file() else ""
            if there != record.sha256:
                result.failed[name.path] = f"made again, it is not what was recorded: {self._changes(name, record)}"
                return
        work = self.root / HIDDEN / "work"
        for path in (
            self.shadow / name.path,
            *sorted(made.parent.glob(f"{name.stem}.*"), key=lambda path: path == made),
        ):
            suffix = ".record.json" if path == made else path.suffix
            if path.exists():
                path.replace(work / f"{name.stem}{suffix}")
        if not record.clips:
            target.unlink(missing_ok=True)
        finish_publication(self.root, name)
        result.repaired[name.path] = "its record was made again from the shard" if derived else "made again"

    def _rows(self, name: ShardName, keys: tuple[str, ...]) -> list[Row] | None:
        """Return the ledger's rows of a shard, None where the ledger does not tell them for sure."""
        try:
            lines = (self.root / HIDDEN / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
            rows = {row["key"]: row for row in map(json.loads, lines) if row["code"] != "duplicate"}
        except (OSError, ValueError, TypeError, KeyError):
            return None
        other = {row["key"] for record in _readable_records(self.shadow) for row in record.ledger}
        own = [rows[key] for key in keys if key in rows and key not in other and rows[key]["status"] == "packed"]
        lost = [row for key, row in rows.items()
                if key not in other and row["status"] != "packed" and row["split"] == name.split]  # fmt: skip
        alone = sum(damaged.split == name.split for damaged in self.damaged) == 1
        return [*own, *lost] if len(own) == len(keys) and (alone or not lost) else None

    def _changes(self, name: ShardName, made: ShardRecord) -> str:
        """Say which inputs came out otherwise than recorded."""
        try:
            before = {
                row["key"]: (row["status"], row["code"]) for row in read_record(record_path(self.root, name)).ledger
            }
        except (ShardFormatError, OSError):
            before = {}
        after = {row["key"]: (row["status"], row["code"]) for row in made.ledger}
        changed = [key for key in after if before.get(key, after[key]) != after[key]]
        if not changed:
            return "a source file or the ffmpeg has changed"
        first = changed[0]
        was, now = (" ".join(filter(None, states[first])) for states in (before, after))
        return f"{len(changed)} inputs came out otherwise, {first} for one was {was} and is {now}"


def _recorded_checksums(root: Path) -> dict[ShardName, str]:
    """Return the checksum of every shard as far as records can be read at all."""
    found: dict[ShardName, str] = {}
    for path in (root / HIDDEN / "shards").glob("*.json"):
        try:
            values = json.loads(path.read_bytes())
            match = _SHARD.fullmatch(Path(values["path"]).name)
            if match and path.stem == f"{match[1]}-{match[2]}":
                name = Path(values["path"]).name.removesuffix(f"-{path.stem}.tar")
                found[ShardName(name, match[1], int(match[2]))] = str(values["sha256"])
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found


def _witnesses(root: Path, recorded: Mapping[ShardName, str]) -> dict[ShardName, set[str]]:
    """Return the checksums of every shard that its record or the manifest names: one of them may be damaged."""
    found = {name: {checksum} for name, checksum in recorded.items()}
    with suppress(ShardError):
        for entry in read_manifest(root):
            match = _SHARD.fullmatch(Path(entry.path).name)
            if match:
                stem = f"{match[1]}-{match[2]}.tar"
                name = ShardName(Path(entry.path).name.removesuffix(f"-{stem}"), match[1], int(match[2]))
                found.setdefault(name, set()).add(entry.sha256)
    return found


def _readable_records(root: Path) -> Iterable[ShardRecord]:
    for path in sorted((root / HIDDEN / "shards").glob("*.json")):
        try:
            yield read_record(path)
        except ShardFormatError:
            continue


def _rewrite(path: Path, shadow: Path, name: ShardName, keys: tuple[str, ...], rows: list[Row]) -> None:
    """Write the clips of a shard anew with the writer, which makes its record and all that belongs to it."""
    with path.open("rb") as file, ShardWriter(shadow, name, [str(row["key"]) for row in rows]) as writer:
        members = (data for _, data in iter_members(file))
        for key, row in zip(keys, rows, strict=False):
            json_bytes, wav, mjpg = (next(members) for _ in MEMBERS)
            if key not in keys[: writer.done]:
                writer.add(Clip(ClipMetadata.from_json(json_bytes), wav, mjpg), row)
        for row in rows[max(writer.done, len(keys)) :]:
            writer.fail(row)
        writer.publish()


def _checksum(root: Path, name: ShardName) -> str:
    return read_record(record_path(root, name)).sha256
