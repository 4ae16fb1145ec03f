"""What the columns of a list of videos mean by their names, and their cells as values."""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from avcorr.printable import printable

from ..errors import SourceError

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
               "test": "test", "testing": "test"}  # fmt: skip
_SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9]{0,20}")
_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "file_name", "filename", "filepath", "file_path", "video_path", "video_file", "url"),
    "id": ("youtube_id", "ytid", "yt_id", "video_id", "id"),
    "video": ("video", "group", "recording", "source_video"),
    "label": ("label", "class", "labels", "category", "class_name", "positive_labels"),
    "split": ("split", "subset", "set", "partition"),
    "start": ("start", "start_seconds", "start_sec", "start_time", "time_start", "begin"),
    "end": ("end", "end_seconds", "end_sec", "end_time", "time_end", "stop"),
    "duration": ("duration", "length", "seconds"),
    "caption": ("caption", "text", "description", "sentence"),
    "audio": ("audio", "audio_path", "audio_file", "wav"),
    "audio_offset": ("audio_offset", "audio_start"),
    "index": ("", "index", "unnamed:_0"),
}
_COLUMNS = {name: meaning for meaning, names in _MEANINGS.items() for name in names}
_SEVERAL_LABELS = {"positive_labels": r"\s*,\s*", "labels": r"\s*[|;]\s*"}
"""What separates labels in columns of these names."""
_HEADLESS: Sequence[tuple[Sequence[str], str]] = (
    (("id", "start", "end", "label"), r"[^,]*,number,number,word"),
    (("id", "start", "label", "split"), r"[^,]*,number,[^,]*,word"),
    (("label", "id", "start", "end", "split"), r"word,word,number,number,word"),
    (("path", "label"), r"file,word"),
)
_CACHED = 1 << 12
"""Different cells of a column that are remembered: labels, splits and most times repeat."""


class Row(NamedTuple):
    """What a row of a list says; "" and 0 where it says nothing."""

    line: int
    path: str = ""
    id: str = ""
    video: str = ""
    labels: tuple[str, ...] = ()
    caption: str = ""
    split: str = ""
    start: float = 0.0
    """Seconds."""
    duration: float = 0.0
    """By a column of its own, or from start to end."""
    audio: str = ""
    audio_offset: float = 0.0
    """Where the first sample of `audio` lies on the video's clock, seconds."""
    columns: tuple[tuple[str, Any], ...] = ()
    """Names and values of the columns that mean nothing here."""


_FIELDS = (*("label" if name == "labels" else name for name in Row._fields), "end")
"""What is read of a row; the end becomes a duration."""
_START, _DURATION, _OTHERS, _END = (_FIELDS.index(name) for name in ("start", "duration", "columns", "end"))


class Columns:
    """The columns of a list.

    Args:
        path: of the list, for messages.
        header: names of the columns.

    Raises:
        SourceError: when no column names the file, or two mean the same.
    """

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path, self._header = path, header
        meanings = [_meaning(name) for name in header]
        if "path" not in meanings and "video" in meanings and "id" not in meanings:
            meanings[meanings.index("video")] = "path"
        if "path" not in meanings and "id" not in meanings:
            raise SourceError(
                f"{path}:1: the header has {', '.join(header)}; it needs `path`, or an `id` with --videos"
            )
        for meaning in set(meanings) - {"", "index"}:
            if meanings.count(meaning) > 1:
                both = ", ".join(repr(name) for name, each in zip(header, meanings, strict=True) if each == meaning)
                raise SourceError(f"{path}:1: the columns {both} both mean the {meaning}; keep one, once each")
        self.by_path = "path" in meanings
        """Whether rows name files, not ids."""
        self.unknown = [name for name, meaning in zip(header, meanings, strict=True) if not meaning]
        """Names of columns that mean nothing here."""
        self._readers = [
            (place, _FIELDS.index(meaning), _reader(meaning, name))
            for place, (meaning, name) in enumerate(zip(meanings, header, strict=True))
            if meaning not in ("", "index")
        ]
        self._others = [(place, name) for place, name in enumerate(header) if not meanings[place]]

    def read(self, rows: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[Row]:
        """Yield what each row says, given with the number of its line. Raises SourceError with that number."""
        width = len(self._header)
        blank: list[Any] = [*Row(0), None]
        for line, row in rows:
            if len(row) != width:
                raise SourceError(
                    f"{self._path}:{line}: {len(row)} columns; {width} are expected ({', '.join(self._header)})"
                )
            values = blank.copy()
            values[0] = line
            try:
                for place, field, read in self._readers:
                    values[field] = read(row[place])
                if values[_END] is not None and not values[_DURATION]:
                    values[_DURATION] = _length(values[_START], values[_END])
            except ValueError as error:
                raise SourceError(f"{self._path}:{line}: {error}") from error
            if self._others:
                values[_OTHERS] = tuple((name, other_value(row[place])) for place, name in self._others)
            yield Row._make(values[:_END])


def is_header(cells: Sequence[str]) -> bool:
    """Return whether the first row of a list names its columns."""
    return any(_meaning(cell) in ("path", "id") or cell.strip().lower() == "video" for cell in cells)


def guess_columns(path: Path, row: Sequence[str]) -> Sequence[str]:
    """Return names for the columns of a list without a header, by its first row.

    Raises:
        SourceError: when the row is of no kind that is known.
    """
    kinds = ["number" if _is_number(cell) else "file" if "." in cell.strip()[-6:] else "word" for cell in row]
    for columns, pattern in _HEADLESS:
        if len(columns) == len(row) and re.fullmatch(pattern, ",".join(kinds)):
            return columns
    wanted = "path, label, split, start, end, duration, caption, video or id"
    raise SourceError(
        f"{path}:1: {len(row)} columns without a header that is known ({', '.join(row)[:100]}); name them in the "
        f"first line ({wanted}); lists without names are read as VGGSound, AudioSet and Kinetics have them"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _meaning(name: str) -> str:
    """Return what a column means by its name, "" for nothing known."""
    return _COLUMNS.get(_plain(name), "")


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _reader(meaning: str, name: str) -> Callable[[Any], Any]:
    """Return what makes a value of a cell, and raises ValueError with what is wrong with it."""
    if meaning == "label":
        separator = _SEVERAL_LABELS.get(_plain(name))
        return _cached(partial(_labels, re.compile(separator) if separator else None))
    if meaning in ("start", "end", "duration", "audio_offset"):
        return _cached(partial(_seconds, meaning))
    if meaning == "split":
        return _cached(_split)
    if meaning in ("path", "audio"):
        return partial(_file, meaning)
    return lambda cell: str(cell or "").strip()


def _cached(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a reader that remembers texts; other cells, such as lists, may have no hash."""
    remembered = lru_cache(_CACHED)(read)
    return lambda cell: remembered(cell) if isinstance(cell, str) else read(cell)


def _labels(separator: re.Pattern[str] | None, cell: Any) -> tuple[str, ...]:
    cells = separator.split(cell) if separator and isinstance(cell, str) else cell
    cells = cells if isinstance(cells, list | tuple) else [cells]
    names = dict.fromkeys(str(cell).strip() for cell in cells if cell is not None)
    return tuple(sys.intern(name) for name in names if name)


def _file(meaning: str, cell: Any) -> str:
    name = str(cell or "")
    if "\0" in name:
        raise ValueError(f"the path{' of the sound' * (meaning == 'audio')} holds a zero byte")
    return name


def _seconds(column: str, cell: Any) -> float | None:
    """Return seconds; of an empty cell 0, or None where it would be the end."""
    if cell is None or cell == "" or (isinstance(cell, str) and not cell.strip()):
        return None if column == "end" else 0.0
    least = -1e7 if column == "audio_offset" else 0.0
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number < 1e7:
        raise ValueError(f"{column} is {printable(repr(cell), 80)}; expected seconds{'' if least else ', 0 or more'}")
    return number or 0.0


def other_value(cell: Any) -> str | int | float | bool | None:
    """Return a cell that nothing is known of; a list or an object as JSON."""
    if isinstance(cell, str):
        return sys.intern(cell.strip())
    if cell is None or isinstance(cell, int | float):
        return cell
    return json.dumps(cell, ensure_ascii=False, default=str)


def _length(start: float, end: float) -> float:
    if end <= start:
        raise ValueError(f"the end, {end:g} s, is not after the start, {start:g} s")
    return end - start


def _split(cell: Any) -> str:
    text = str(cell or "").strip()
    name = text.lower()
    split = sys.intern(SPLIT_NAMES.get(name, name))
    if split and not _SPLIT_PATTERN.fullmatch(split):
        raise ValueError(f"the split is {printable(repr(text), 80)}; expected train, test, val or another short name")
    return split
