"""Hold one shard against its record in the index.

Quick, it needs the file's size and its last blocks, which on an object store are one HEAD and one small range read.
Full, it reads the file once.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import ShardFormatError
from .index import HIDDEN, ShardRecord, read_record
from .problem import Problem
from .scan import Scan, scan_shard
from .tar import BLOCK, RECORD

_STEM = re.compile(r"([a-z][a-z0-9]{0,20})-(\d{6})")


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found of one shard. Small, so that those of all shards can be held at once."""

    stem: str
    """`<split>-<number>`, the name of the record."""
    damaged: bool
    """Whether the record cannot be read or contradicts itself, so that nothing in it counts."""
    path: str = ""
    """Of the shard, relative to the root; "" where there is to be none, or the record is damaged."""
    problems: tuple[Problem, ...] = ()
    keys: tuple[str, ...] = ()
    """Of its clips: those in the shard where it was read, else those in the record."""
    clips: int = 0
    size: int = 0
    inputs: int = 0
    """Rows of the ledger in the record."""
    rows_digest: int = 0
    """Sum of the rows' digests, which does not depend on their order."""


def audit_shard(root: Path, record_path: Path, longest: float | None, *, full: bool) -> Audit:
    """Check one record and its shard.

    Args:
        root: the dataset's folder.
        record_path: the record.
        longest: the longest that a clip may be, seconds; None where it is not known.
        full: read the shard.
    """
    stem = record_path.stem
    where = f"{HIDDEN}/shards/{record_path.name}"
    try:
        record = read_record(record_path)
        wrong = list(_record_faults(stem, record))
    except (ShardFormatError, OSError, AttributeError, TypeError) as error:
        return Audit(stem, True, problems=(Problem(where, "record", f"cannot be read ({error})"),))
    if wrong:
        return Audit(stem, True, problems=tuple(Problem(where, "record", text) for text in wrong))
    problems: list[Problem] = []
    keys = tuple(clip.key for clip in record.clips)
    result = Audit(
        stem, False, record.path if record.clips else "", inputs=len(record.ledger),
        rows_digest=sum(map(row_digest, record.ledger)), clips=len(keys), size=record.size, keys=keys,
    )  # fmt: skip
    if record.clips:
        try:
            problems += _end_problems(root, record, tail=not full)
            if full and not any(problem.code == "missing_shard" for problem in problems):
                offsets = [clip.offset for clip in record.clips]
                scan = scan_shard(root / record.path, record.path, offsets=offsets, longest=longest)
                problems += [*scan.problems, *_differences(record, scan)]
                result = replace(result, keys=scan.keys)
        except OSError as error:
            problems.append(Problem(record.path, "unreadable", f"cannot be read ({error.strerror})"))
    return replace(result, problems=tuple(problems))


def row_digest(row: Mapping[str, Any]) -> int:
    """Return a number that stands for one row of the ledger."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())


def _record_faults(stem: str, record: ShardRecord) -> Iterator[str]:
    name = _STEM.fullmatch(stem)
    if name is None:
        yield "is not named <split>-<six digits>.json"
    elif record.split != name[1] or not re.fullmatch(rf"{name[1]}/[a-z][a-z0-9_-]*-{stem}\.tar", record.path):
        yield f"tells of {record.path} in the split {record.split!r}"
    if type(record.size) is not int or not re.fullmatch(r"[0-9a-f]{64}", record.sha256):
        yield f"has the size {record.size!r} and the sha256 {record.sha256!r}"
        return
    bounds = [*(clip.offset for clip in record.clips), record.size]
    rising = all(earlier < later for earlier, later in zip(bounds, bounds[1:], strict=False))
    if record.clips and (bounds[0] != 0 or not rising or any(bound % BLOCK for bound in bounds[:-1])):
        yield "has clips whose offsets do not rise from 0 to its size in blocks of 512"
    packed = [row.get("key") for row in record.ledger if row.get("status") == "packed"]
    if packed != [clip.key for clip in record.clips]:
        yield f"names {len(record.clips)} clips, but its ledger rows say {len(packed)} packed, or other ones"


def _end_problems(root: Path, record: ShardRecord, *, tail: bool) -> Iterator[Problem]:
    """Check size and closing blocks."""
    path = root / record.path
    try:
        status = os.stat(path)
    except FileNotFoundError:
        yield Problem(record.path, "missing_shard", f"is not there; its record says {len(record.clips)} clips")
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "no regular file")
    if status.st_size != record.size:
        yield Problem(record.path, "size", f"has {status.st_size} bytes; its record says {record.size}")
    if tail:
        with path.open("rb") as file:
            file.seek(max(0, status.st_size - 2 * BLOCK))
            last = file.read(2 * BLOCK)
        if len(last) < 2 * BLOCK or any(last) or status.st_size % RECORD:
            text = f"does not end in two blocks of zeros at a multiple of {RECORD} bytes: it was cut"
            yield Problem(record.path, "end", text)


def _differences(record: ShardRecord, scan: Scan) -> Iterator[Problem]:
    """Compare what the record says with what the shard holds."""
    if scan.size == record.size and scan.sha256 != record.sha256:
        text = f"has sha256 {scan.sha256}; its record says {record.sha256}"
        yield Problem(record.path, "checksum", text)
    if len(scan.clips) != len(record.clips):
        text = f"holds {len(scan.clips)} whole clips; its record says {len(record.clips)}"
        yield Problem(record.path, "count", text)
        return
    for recorded, key, clip in zip(record.clips, scan.keys, scan.clips, strict=True):
        if clip is None and recorded.key == key:
            continue  # its metadata are reported already
        if clip is None or _plain(clip) != _plain(recorded):
            text = f"its record says {recorded.key!r}: {_first_difference(recorded, clip)}"
            yield Problem(record.path, "stale", text, key)


def _plain(clip: Any) -> Any:
    return json.loads(json.dumps(asdict(clip)))


def _first_difference(recorded: Any, found: Any) -> str:
    if found is None:
        return "another clip"
    old, new = _plain(recorded), _plain(found)
    name = next(name for name in old if old[name] != new.get(name))
    return f"{name} {old[name]!r} in the record, {new.get(name)!r} in the shard"
