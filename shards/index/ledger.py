"""The ledger, of any length with bounded memory: written by sorted runs on disk and one merge, read row by row."""

import heapq
import io
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from avcorr.files import replacing
from avcorr.json_file import load_json, parse_json

from ..errors import ShardFormatError
from ..store import Store
from .layout import LEDGER
from .record import Row

_RUN_ROWS = 20_000
_MOST_LINE = 1 << 20
"""Characters of a row."""


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
        key, source, text = load_json(line)
        yield key, source, text


def iter_ledger(store: Store) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of the ledger, one in memory.

    Raises:
        MissingObjectError: where there is none.
        ShardFormatError: naming line and field, where it is damaged.
    """
    number = 1
    with store.stream(LEDGER, 0, store.size(LEDGER)) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        try:
            while line := lines.readline(_MOST_LINE):
                yield parse_json(line, _schema())
                number += 1
        except ValueError as error:
            text = f"line {number}: {error}"
            raise ShardFormatError(
                f"the ledger {store.url}/{LEDGER} is damaged ({text}); write it again with: avcorr repair"
            ) from error


@cache
def _schema() -> TypeAdapter[Row]:
    return TypeAdapter(Row)
