"""What the list of sources says of clips beyond the format: columns by the clip's key, beside the shards."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from avcorr.files import replacing

from .layout import SOURCE_COLUMNS

Said = Sequence[tuple[str, str | int | float | bool | None]]
"""Names of columns and values."""
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")


def write_source_columns(root: Path, rows: Iterable[tuple[str, Said]]) -> None:
    """Write the file anew: one row a key, sorted; without rows that say something there is none.

    Args:
        root: the dataset's folder.
        rows: keys, each once, and what is said of them.
    """
    path = root / SOURCE_COLUMNS
    said = sorted((key, dict(values)) for key, values in rows if values)
    if not said:
        path.unlink(missing_ok=True)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, pa.Array] = {"key": pa.array([key for key, _ in said])}
    taken = {"key"}
    for name in dict.fromkeys(name for _, values in said for name in values):
        column = name
        while column.lower() in taken:  # SQL does not tell upper and lower case apart
            column += "_"
        taken.add(column.lower())
        columns[column] = _column([values.get(name) for _, values in said])
    with replacing(path) as file:
        pq.write_table(pa.table(columns), file)


def _column(values: Sequence[Any]) -> Any:
    """Return values as one column: numbers where all that are there are, so that text such as 007 stays as it is."""
    import pyarrow as pa

    known = [value for value in values if value is not None and value != ""]
    if known and all(isinstance(value, str) for value in known):
        for pattern, kind in ((_INTEGER, int), (_NUMBER, float)):
            if all(pattern.fullmatch(value) for value in known):
                return pa.array([kind(value) if value else None for value in values])
    try:
        return pa.array([None if value == "" else value for value in values])
    except (pa.ArrowException, OverflowError):  # of several types
        return pa.array([None if value is None else str(value) for value in values])
