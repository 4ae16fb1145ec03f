"""Write the ledger of any length with bounded memory: sorted runs on disk, then one merge."""

import heapq
import io
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from avcorr.files import replacing

from ..store import Store
from .layout import LEDGER

_RUN_ROWS = 20_000


def write_ledger(root: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the ledger, one JSON object a line, sorted by key and source; it is there wholly or not at all."""
    path = root / LEDGER
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = iter(rows)
    with ExitStack() as stack:
        runs: list[Iterator[tuple[str, str, str]]] = []
        while chunk := list(itertools.islice(rows, _RUN_ROWS)):
            keyed = sorted((row["key"], row["source"], json.dumps(row, ensure_ascii=False)) for row in chunk)
            run = stack.enter_context(tempfile.TemporaryFile("w+", dir=path.parent, encoding="utf-8"))
            run.writelines(f"{json.dumps(entry)}\n" for entry in keyed)
            run.seek(0)
            runs.append(_entries(run))
        with replacing(path) as file:
            file.writelines(f"{line}\n".encode() for _, _, line in heapq.merge(*runs))


def _entries(run: IO[str]) -> Iterator[tuple[str, str, str]]:
    for line in run:
        key, source, text = json.loads(line)
        yield key, source, text


def iter_ledger(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the rows of the ledger, one in memory. Raises MissingObjectError where there is none."""
    with store.stream(LEDGER, 0, store.size(LEDGER)) as file:
        for line in io.TextIOWrapper(file, encoding="utf-8"):
            yield json.loads(line)
