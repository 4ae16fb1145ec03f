"""See that the sources of a dataset that goes on hold what they held when they were packed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.index.layout import RECORDS, WORK
from avcorr.shards.index.record import read_record
from avcorr.shards.writer import journal_rows

from ..sources.content import differs
from ..sources.source import Source


def require_unchanged(root: Path, sources: Sequence[Source]) -> None:
    """Compare the sources that are packed, in whole shards or in begun ones, with what is recorded of them.

    Raises:
        DatasetMismatchError: where some hold something else.
    """
    known = {source.key: source for source in sources}
    changed: list[Source] = []
    for since, rows in _recorded(root):
        for row in rows:
            source = known.get(row["key"]) if row["status"] == "packed" else None
            if source and row.get("digest") and differs(source, row.get("bytes", 0), row["digest"], since):
                changed.append(source)
    if changed:
        raise DatasetMismatchError(
            f"{len(changed)} sources have changed since they were packed, {changed[0].name} for one; "
            "--accept-changed goes on and keeps what is packed of them, or choose another --out"
        )


def _recorded(root: Path) -> Iterator[tuple[float, Sequence[Mapping[str, Any]]]]:
    """Yield the rows of each shard, with a moment before the first of them was read."""
    for folder, suffix in ((RECORDS, ".json"), (WORK, ".jsonl")):
        for path in sorted((root / folder).glob(f"*{suffix}")):
            rows = read_record(path).ledger if suffix == ".json" else list(journal_rows(path))
            yield os.stat(path).st_mtime - sum(row.get("seconds", 0) for row in rows) - 1, rows
