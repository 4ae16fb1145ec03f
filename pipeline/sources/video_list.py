"""Read lists of videos: VGGSound's own CSV, or a CSV with a header."""

import csv
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from .archive import Member
from .source import Source

logger = logging.getLogger(__name__)

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
               "test": "test", "testing": "test"}  # fmt: skip
_SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9]{0,20}")
_COLUMNS = ("path", "label", "split", "start", "duration")


@dataclass(frozen=True, slots=True)
class Found:
    """The files that a folder and its archives hold."""

    files: Mapping[str, tuple[str, Member | None, tuple[str, str] | None]]
    """By name: the folder or the archive, where it lies in the archive, and what is known to be wrong with it."""
    damage: tuple[str, ...]
    """One line an archive that is damaged."""


def read_video_list(path: Path, videos: Path | None, find: Callable[[Path], Found]) -> Iterator[Source]:
    """Yield a source for each row of a CSV.

    Args:
        path: the CSV.
        videos: the folder that VGGSound's names are looked up in.
        find: lists that folder.

    Raises:
        SourceError: naming the line that cannot be understood.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            first = next(rows, None)
            if first is None:
                raise SourceError(f"{path} is empty; expected VGGSound's four columns or a header with `path`")
            if "path" in (cell.strip() for cell in first):
                yield from _header_rows(path, [cell.strip() for cell in first], rows)
                return
            if videos is None:
                raise SourceError(
                    f"{path} has no header with `path`, so it is read as VGGSound's CSV: give --videos DIR too"
                )
            if not videos.is_dir():
                raise SourceError(f"--videos {videos} is no folder")
            yield from _vggsound_rows(path, itertools.chain([first], rows), videos, find(videos))
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV in UTF-8 ({error})") from error


def _vggsound_rows(path: Path, rows: Iterable[Sequence[str]], videos: Path, found: Found) -> Iterator[Source]:
    absent = "missing", f"is neither below {videos} nor in an archive there"
    if found.damage:
        absent = "missing", f"{absent[1]}; it may lie behind the damage of {'; '.join(found.damage)}"
        logger.warning("damaged: %s; what lies behind it is missing", "; ".join(found.damage))
    for line, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) != 4:
            raise SourceError(f"{path}:{line}: {len(row)} columns; VGGSound's CSV has id, start, label, split")
        video, start_text, label, split = (cell.strip() for cell in row)
        start = _number(path, line, "start", start_text)
        if not video:
            raise SourceError(f"{path}:{line}: the video id is empty")
        names = (f"{video}_{int(start):06d}.mp4", f"{video}_{int(start)}.mp4")
        name = next((name for name in names if name in found.files), names[0])
        place, member, problem = found.files.get(name, ("", None, absent))
        file = place if member or problem else os.path.join(place, name)
        yield Source(
            path=os.path.abspath(file) if file else name, name=name, video=video, label=sys.intern(label),
            split=_split(path, line, split), start=start, member=member, problem=problem,
        )  # fmt: skip


def _header_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Source]:
    unknown = [name for name in header if name not in _COLUMNS]
    if unknown or len(set(header)) != len(header):
        raise SourceError(
            f"{path}:1: the header has {', '.join(header)}; it may have, once each, {', '.join(_COLUMNS)}"
        )
    for line, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(header):
            raise SourceError(f"{path}:{line}: {len(row)} columns; the header has {len(header)}")
        cells = dict(zip(header, row, strict=True))
        name = cells["path"]
        if not name or "\0" in name:
            raise SourceError(f"{path}:{line}: the path {'holds a zero byte' if name else 'is empty'}")
        start = _number(path, line, "start", cells.get("start", "") or "0")
        duration = _number(path, line, "duration", cells.get("duration", "") or "0")
        yield Source(
            path=os.path.abspath(path.parent / name), name=name, video=name,
            label=sys.intern(cells.get("label", "").strip()),
            split=_split(path, line, cells.get("split", "").strip()), start=start, seek=start, duration=duration,
        )  # fmt: skip


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise SourceError(f"{path}:{line}: {column} is {text!r}; expected seconds, 0 or more")
    return value or 0.0


def _split(path: Path, line: int, text: str) -> str:
    split = SPLIT_NAMES.get(text.lower(), text.lower())
    if split and not _SPLIT_PATTERN.fullmatch(split):
        raise SourceError(f"{path}:{line}: the split is {text!r}; expected train, test, val or another short name")
    return split
