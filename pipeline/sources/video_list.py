"""Read lists of videos: VGGSound's own CSV, or a CSV with a header."""

import csv
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import SourceError
from .archive import is_archive
from .source import Source

logger = logging.getLogger(__name__)

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
               "test": "test", "testing": "test"}  # fmt: skip
_SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9]{0,20}")
_COLUMNS = ("path", "label", "split", "start", "duration")


def read_video_list(path: Path, videos: Path | None, find: Callable[[Path], Iterable[Source]]) -> Iterator[Source]:
    """Yield a source for each row of a CSV; VGGSound's names are looked up in `videos`, which `find` lists.

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


def _vggsound_rows(
    path: Path, rows: Iterable[Sequence[str]], videos: Path, found: Iterable[Source]
) -> Iterator[Source]:
    files: dict[str, Source] = {}
    damage: list[str] = []
    for source in found:
        base = source.name.rpartition("/")[2]
        if source.problem and (is_archive(base) or source.problem[0] == "unreadable"):
            damage.append(f"{base} {source.problem[1]}")
        elif source.member or source.problem:
            files.setdefault(base, source)
        else:
            files[base] = source  # loose ones come first
    absent = "missing", f"is neither below {videos} nor in an archive there"
    if damage:
        absent = "missing", f"{absent[1]}; it may lie behind the damage of {'; '.join(damage)}"
        logger.warning("damaged: %s; what lies behind it is missing", "; ".join(damage))
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
        name = next((name for name in names if name in files), names[0])
        source = files.get(name) or Source(path=name, name=name, video=video, problem=absent)
        yield replace(
            source, name=name, video=video, label=sys.intern(label), split=_split(path, line, split), start=start
        )


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
