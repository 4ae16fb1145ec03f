"""Hold one shard, its table and what other loaders have of it against its record in the index.

Quick, it needs the file's size and its last blocks, which on an object store are one HEAD and one small range read.
Full, it reads the file once, and the table has to be the one that the file gives.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from ..errors import MissingBucketError, ShardFormatError, StoreAccessError, StoreError
from ..format.tar import BLOCK
from ..index.clip_table import Table, find_table_problems, read_tables
from ..index.record import MOST_RECORD, ShardEntry, ShardRecord, parse_record
from ..reader import find_end_faults
from ..store import Store
from .archive_check import Scan, scan_shard
from .exports_check import Others, audit_shard_exports
from .problem import Problem


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found of one shard. Small, so that those of all shards can be held at once."""

    stem: str
    """`<split>-<number>`, the name of the record."""
    damaged: bool = False
    """Whether the record cannot be read or contradicts itself, so that nothing in it counts."""
    entry: ShardEntry | None = None
    """What the manifest ought to say of the shard; None where no clip is in it, or the record is damaged."""
    inputs: int = 0
    """Rows of the ledger in the record."""
    rows_digest: int = 0
    """Sum of the rows' digests, which does not depend on their order."""
    keys: tuple[str, ...] = ()
    """Of its clips: those in the shard where it was read, else those in the record."""
    problems: tuple[Problem, ...] = ()

    @property
    def path(self) -> str:
        """The shard's under the root; "" where there is to be none, or the record is damaged."""
        return self.entry.path if self.entry else ""


def audit_shard(store: Store, where: str, longest: float | None, others: Others, *, full: bool) -> Audit:
    """Check one record and its shard.

    Args:
        store: where the dataset lies.
        where: path of the record under the root.
        longest, others: as `scan_shard` and `audit_shard_exports` take them.
        full: read the shard.

    Raises:
        StoreAccessError, MissingBucketError: where all shards would fail alike.
    """
    stem = PurePosixPath(where).stem
    try:
        record = parse_record(store.read(where, MOST_RECORD), f"{store.url}/{where}")
    except (StoreAccessError, MissingBucketError):
        raise
    except (ShardFormatError, StoreError) as error:
        return Audit(stem, damaged=True, problems=(Problem(where, "record", str(error)),))
    result = Audit(
        stem, entry=record.entry if record.clips else None, inputs=len(record.ledger),
        rows_digest=sum(map(row_digest, record.ledger)),
    )  # fmt: skip
    if record.clips:
        table, problems = _read_table(store, record)
        result = replace(result, keys=tuple(table.texts("key")) if table else ())
        scan = None
        try:
            ends = [Problem(record.path, *fault) for fault in find_end_faults(store, record, tail=not full)]
            problems += ends
            if full and not any(problem.code == "missing_shard" for problem in ends):
                offsets = [start - BLOCK for start in table["json_offset"].tolist()] if table else []
                scan = scan_shard(store, record.path, offsets=offsets, longest=longest)
                problems += [*scan.problems, *_differences(record, scan)]
                result = replace(result, keys=scan.keys)
        except (StoreAccessError, MissingBucketError):
            raise
        except (OSError, StoreError) as error:
            problems.append(Problem(record.path, "unreadable", f"cannot be read ({error})"))
        if table:
            problems += _derived_problems(store, record, scan, table, others)
        result = replace(result, problems=tuple(problems))
    return result


def _read_table(store: Store, record: ShardRecord) -> tuple[Table | None, list[Problem]]:
    """Return a shard's table, or why it cannot be read."""
    try:
        return next(read_tables(store, [record])), []
    except (StoreAccessError, MissingBucketError):
        raise
    except (StoreError, ShardFormatError) as error:
        return None, [Problem(record.table, "table", str(error))]


def row_digest(row: Mapping[str, Any]) -> int:
    """Return a number that stands for one row of the ledger."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())


def _differences(record: ShardRecord, scan: Scan) -> Iterator[Problem]:
    """Compare what the record says with what the shard holds."""
    if scan.size == record.size and scan.sha256 != record.sha256:
        text = f"has sha256 {scan.sha256}; its record says {record.sha256}"
        yield Problem(record.path, "checksum", text)
    elif scan.sha256 == record.sha256 and scan.md5 != record.md5:
        yield Problem(record.path, "checksum", f"has md5 {scan.md5}; its record says {record.md5}")
    if len(scan.keys) != record.clips:
        yield Problem(record.path, "count", f"holds {len(scan.keys)} whole clips; its record says {record.clips}")


def _derived_problems(
    store: Store, record: ShardRecord, scan: Scan | None, table: Table, others: Others
) -> Iterator[Problem]:
    """Check what was derived from the shard: its table, and where its samples lie for energon and DALI."""
    expected = None
    if scan is not None and not scan.problems and len(scan.keys) == record.clips:  # else the shard is to blame
        try:
            expected = scan.table.arrow()
        except (ValueError, OverflowError) as error:
            yield Problem(record.path, "metadata", f"the table cannot hold them ({error})")
            return
    wrong = list(find_table_problems(table, record, expected))
    yield from (Problem(record.table, "table", text) for text in wrong)
    if not wrong and any(others):
        yield from audit_shard_exports(store, record.path, table, others)
