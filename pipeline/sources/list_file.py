"""The rows of a list in a file of any kind: CSV and its kin, JSON lines, Parquet, plain paths."""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from avcorr.files import open_file, read_file
from avcorr.json_file import load_json

from ..errors import SourceError
from .list_columns import guess_columns, is_header

_MOST_BYTES = 1 << 30
"""Of a list: that of some ten million clips."""
Rows = Iterator[tuple[int, Sequence[Any]]]
"""Rows with the numbers of their lines."""


def read_list(path: Path) -> tuple[Sequence[str], Rows]:
    """Return the names of a list's columns, and its rows, which raise the same errors.

    Raises:
        SourceError: when it is no list that can be read; with the line where one is wrong.
    """
    try:
        with open_file(path) as file:
            if file.read(4) == b"PAR1":
                return _read_parquet(path, file)
        text = read_file(path, _MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    if not text.strip():
        raise SourceError(f"{path} is empty; expected paths, a header with a column `path`, or VGGSound's four columns")
    if text.lstrip().startswith("{"):
        return _read_json(path, text)
    return _read_text(path, text)


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path} is not a list in UTF-8 that can be read ({error})")


def _read_parquet(path: Path, file: BinaryIO) -> tuple[Sequence[str], Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
        groups = (parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
        if size > _MOST_BYTES:
            raise OSError(f"has {size} bytes when unpacked; a list has at most {_MOST_BYTES}")
        table = parquet.read()
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} is no Parquet that can be read ({error})") from error
    rows = (zip(*(column.to_pylist() for column in batch.columns), strict=True) for batch in table.to_batches(1 << 14))
    return table.column_names, enumerate(itertools.chain.from_iterable(rows), 1)


def _read_json(path: Path, text: str) -> tuple[Sequence[str], Rows]:
    values = []
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            try:
                value = load_json(row)
            except ValueError as error:
                raise SourceError(f"{path}:{line}: no JSON object on one line ({error})") from error
            if not isinstance(value, dict):
                raise SourceError(f"{path}:{line}: {type(value).__name__} in place of a JSON object")
            values.append((line, value))
    names = list(dict.fromkeys(name for _, value in values for name in value))
    return names, ((line, [value.get(name) for name in names]) for line, value in values)


def _read_text(path: Path, text: str) -> tuple[Sequence[str], Rows]:
    lines = text.splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    delimiter = max("\t;,", key=first.count)
    rows = _split_lines(path, re.sub(r"(?m)^#.*$", "", text) if comments else text, delimiter)
    if comments:
        _, header = next(_split_lines(path, comments[-1], delimiter), (0, []))
        if is_header(header):
            return header, rows
    alone = not first.count(delimiter)  # paths and nothing else
    begin = next(rows, None)
    if begin is None:
        return ["path"], rows
    if is_header(begin[1]):
        return ["path"] if alone else begin[1], rows
    columns = ["path"] if alone else guess_columns(path, begin[1])
    return columns, itertools.chain([begin], rows)


def _split_lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield reader.line_num, row
    except csv.Error as error:
        raise SourceError(f"{path}:{reader.line_num}: is no CSV that can be read ({error})") from error
