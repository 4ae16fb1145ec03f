"""Read lists of videos as people have them: CSV and its kin, JSON lines, Parquet, plain paths; by path or by id."""

import csv
import io
import itertools
import json
import logging
import math
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from ..errors import SourceError
from .archive import is_archive
from .grouping import clip_of_id
from .source import Source

logger = logging.getLogger(__name__)

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
_HEADLESS: Sequence[tuple[Sequence[str], str]] = (
    (("id", "start", "end", "label"), r"[^,]*,number,number,word"),
    (("id", "start", "label", "split"), r"[^,]*,number,[^,]*,word"),
    (("label", "id", "start", "end", "split"), r"word,word,number,number,word"),
    (("path", "label"), r"file,word"),
)


@dataclass
class Rows:
    """The rows of a list, each with the number of its line and its cells by meaning."""

    rows: Iterator[tuple[int, dict[str, Any]]]
    columns: Sequence[str]
    unknown: Sequence[str] = ()
    """Names of columns that mean nothing here."""


@dataclass
class Index:
    """Videos of a folder, to be found by name or by id."""

    by_name: dict[str, Source] = field(default_factory=dict)
    by_id: defaultdict[str, list[tuple[float, Source]]] = field(default_factory=lambda: defaultdict(list))
    damage: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, found: Iterable[Source]) -> "Index":
        """Return the index of sources; loose files come before members of archives."""
        index = cls()
        for source in found:
            base = source.name.rpartition("/")[2]
            if source.problem and (is_archive(base) or source.problem[0] == "unreadable"):
                index.damage.append(f"{base} {source.problem[1]}")
            elif source.member or source.problem:
                index.by_name.setdefault(base, source)
            else:
                index.by_name[base] = source
        for base, source in index.by_name.items():
            known = clip_of_id(base)
            if known is not None:
                index.by_id[known[0]].append((known[1], source))
        return index

    def find(self, video: str, start: float) -> tuple[Source | None, bool]:
        """Return the clip of a video that begins at a second, and whether it is the whole video."""
        for name in (f"{video}_{int(start):06d}.mp4", f"{video}_{int(start)}.mp4"):
            if name in self.by_name:
                return self.by_name[name], False
        clips = self.by_id.get(video, [])
        wholes = [source for _, source in clips if PurePath(source.name).stem in (video, f"Y{video}")]
        for begin, source in clips:
            if source not in wholes and abs(begin - start) < 1:
                return source, False
        return next(iter(wholes), None), True


def read_video_list(
    path: Path,
    videos: Path | None,
    find: Callable[[Path], Iterable[Source]],
    notes: list[str],
    *,
    before_download: bool = False,
) -> Iterator[Source]:
    """Yield a source for each row of a list.

    Rows name files by `path`, relative to the list, or by an id that is looked up below `videos`.

    Args:
        path: the list.
        videos: folder of the videos.
        find: lists a folder, and the archives in it.
        notes: what is to be told of the list as a whole is added to it.
        before_download: ids need no folder, and are missing.

    Raises:
        SourceError: naming the line that cannot be understood.
    """
    try:
        rows = _read(path)
        if rows.unknown:
            notes.append(f"{path.name} has columns that are not used: {', '.join(map(repr, rows.unknown))}")
        if "path" in rows.columns:
            yield from _by_path(path, rows, videos, find)
        else:
            yield from _by_id(path, rows, videos, find, notes, before_download)
    except (csv.Error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SourceError(f"{path} is not a list in UTF-8 that can be read ({error})") from error


def _by_path(path: Path, rows: Rows, videos: Path | None, find: Callable[[Path], Iterable[Source]]) -> Iterator[Source]:
    archives: dict[Path, dict[str, Source]] = {}
    for line, cells in rows.rows:
        name = str(cells.get("path") or "")
        if not name or "\0" in name:
            raise SourceError(f"{path}:{line}: the path {'holds a zero byte' if name else 'is empty'}")
        start, duration = _span(path, line, cells)
        values = _values(path, line, cells, videos)
        video = str(cells.get("video") or cells.get("id") or "")
        if "://" in name:
            problem = "missing", "addresses in a list are not read; download the files first"
            yield Source(path=name, name=name, video=video or name, problem=problem, start=start, **values)
            continue
        place = _place(path.parent, name, videos)
        archive = next((parent for parent in place.parents if is_archive(parent.name) and parent.is_file()), None)
        if archive is not None:
            if archive not in archives:
                prefix = f"{archive.name}/"
                archives[archive] = {source.name.removeprefix(prefix): source for source in find(archive)}
            inner = place.relative_to(archive).as_posix()
            absent = Source(path=str(place), name=name, video=name, problem=("missing", f"is no member of {archive}"))
            source = archives[archive].get(inner, absent)
            yield replace(source, name=name, video=video or name, start=start, seek=start, duration=duration, **values)
        else:
            yield Source(
                path=os.path.abspath(place), name=name, video=video or name, start=start, seek=start, duration=duration,
                **values,
            )  # fmt: skip


def _place(folder: Path, name: str, videos: Path | None) -> Path:
    """Return where a path of a list leads: below the list's folder, or else below that of the videos."""
    beside = folder / name
    if videos is not None and not beside.exists() and (videos / name).exists():
        return videos / name
    return beside


def _by_id(
    path: Path,
    rows: Rows,
    videos: Path | None,
    find: Callable[[Path], Iterable[Source]],
    notes: list[str],
    before_download: bool,
) -> Iterator[Source]:
    if videos is None and not before_download:
        raise SourceError(f"{path} names videos by id: give --videos DIR, the folder that they lie in, too")
    if videos is not None and not videos.is_dir():
        raise SourceError(f"--videos {videos} is no folder")
    index = Index.of(find(videos) if videos is not None else ())
    absent = "missing", f"is neither below {videos} nor in an archive there"
    if index.damage:
        absent = "missing", f"{absent[1]}; it may lie behind the damage of {'; '.join(index.damage)}"
        logger.warning("damaged: %s; what lies behind it is missing", "; ".join(index.damage))
    near: list[str] = []
    missing = 0
    for line, cells in rows.rows:
        video = str(cells.get("id") or "").strip()
        if not video:
            raise SourceError(f"{path}:{line}: the video id is empty")
        start, duration = _span(path, line, cells)
        source, whole = index.find(video, start)
        name = f"{video}_{int(start):06d}.mp4"
        if source is None:
            missing += 1
            near += [other.name for _, other in index.by_id.get(video, [])][:1]
            source = Source(path=name, name=name, video=video, problem=absent)
        else:
            name = source.name.rpartition("/")[2]
        source = replace(source, name=name, video=str(cells.get("video") or video), start=start)
        if whole and not source.problem:
            source = replace(source, seek=start, duration=duration)
        yield replace(source, **_values(path, line, cells, videos))
    if near:
        notes.append(f"{missing} rows have no file; for {len(near)} of them a file with that id lies there but begins "
                     f"at another second, such as {near[0]}")  # fmt: skip


def _read(path: Path) -> Rows:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return _named(path, table.column_names, enumerate((list(row.values()) for row in table.to_pylist()), 1))
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        raise SourceError(f"{path} is empty; expected paths, a header with a column `path`, or VGGSound's four columns")
    if text.lstrip().startswith("{"):
        return _json_rows(path, text)
    return _text_rows(path, text)


def _json_rows(path: Path, text: str) -> Rows:
    values = []
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            try:
                value = json.loads(row)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"{path}:{line}: no JSON object on one line ({error})") from error
            if not isinstance(value, dict):
                raise SourceError(f"{path}:{line}: {type(value).__name__} in place of a JSON object")
            values.append((line, value))
    names = list(dict.fromkeys(name for _, value in values for name in value))
    return _named(path, names, ((line, [value.get(name) for name in names]) for line, value in values))


def _text_rows(path: Path, text: str) -> Rows:
    lines = text.splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    delimiter = max("\t;,", key=first.count)
    header = _cells(comments[-1], delimiter) if comments else []
    body = io.StringIO(re.sub(r"(?m)^#.*$", "", text) if comments else text, newline="")
    reader = csv.reader(body, delimiter=delimiter, strict=True, skipinitialspace=True)
    numbered = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
    if header and _is_header(header):
        return _named(path, header, numbered)
    begin = next(numbered)
    alone = not first.count(delimiter)  # paths and nothing else
    if _is_header(begin[1]):
        return _named(path, ["path"] if alone else begin[1], numbered)
    columns = ["path"] if alone else _guess(path, begin[1])
    return _named(path, columns, itertools.chain([begin], numbered))


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _column(name: str) -> str:
    """Return what a column means by its name, "" for nothing known."""
    return _COLUMNS.get(_plain(name), "")


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _is_header(cells: Sequence[str]) -> bool:
    return any(_column(cell) in ("path", "id") or cell.strip().lower() == "video" for cell in cells)


def _guess(path: Path, row: Sequence[str]) -> Sequence[str]:
    """Return what the columns of a list without a header mean, by its first row."""
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


def _named(path: Path, header: Sequence[str], rows: Iterable[tuple[int, Sequence[Any]]]) -> Rows:
    """Return rows with their cells by meaning."""
    meanings = [_column(name) for name in header]
    if "path" not in meanings and "video" in meanings and "id" not in meanings:
        meanings[meanings.index("video")] = "path"
    if "path" not in meanings and "id" not in meanings:
        raise SourceError(f"{path}:1: the header has {', '.join(header)}; it needs `path`, or an `id` with --videos")
    for meaning in set(meanings) - {"", "index"}:
        if meanings.count(meaning) > 1:
            both = ", ".join(repr(name) for name, each in zip(header, meanings, strict=True) if each == meaning)
            raise SourceError(f"{path}:1: the columns {both} both mean the {meaning}; keep one, once each")
    unknown = [name for name, meaning in zip(header, meanings, strict=True) if not meaning]
    several = [_splits_labels(name) for name in header]

    def named() -> Iterator[tuple[int, dict[str, Any]]]:
        for line, row in rows:
            if len(row) != len(header):
                raise SourceError(
                    f"{path}:{line}: {len(row)} columns; {len(header)} are expected ({', '.join(header)})"
                )
            cells: dict[str, Any] = {}
            for meaning, value, separator in zip(meanings, row, several, strict=True):
                if meaning == "label" and isinstance(value, str) and separator:
                    value = re.split(separator, value)
                cells[meaning] = value.strip() if isinstance(value, str) and meaning not in ("path", "audio") else value
            yield line, cells

    return Rows(named(), meanings, unknown)


def _splits_labels(name: str) -> str:
    """Return what separates labels in a column of this name, "" where it holds one."""
    return {"positive_labels": r"\s*,\s*", "labels": r"\s*[|;]\s*"}.get(_plain(name), "")


def _values(path: Path, line: int, cells: Mapping[str, Any], videos: Path | None) -> dict[str, Any]:
    """Return labels, caption, split and the sound's file of a row."""
    given = cells.get("label")
    labels = given if isinstance(given, list | tuple) else [given]
    names = dict.fromkeys(str(label).strip() for label in labels if label not in (None, ""))
    audio = str(cells.get("audio") or "")
    if "\0" in audio:
        raise SourceError(f"{path}:{line}: the path of the sound holds a zero byte")
    return {
        "labels": tuple(sys.intern(name) for name in names if name),
        "caption": str(cells.get("caption") or ""),
        "split": _split(path, line, str(cells.get("split") or "")),
        "audio": os.path.abspath(_place(path.parent, audio, videos)) if audio else "",
        "audio_offset": _number(path, line, "audio_offset", cells.get("audio_offset"), least=-1e7),
    }


def _span(path: Path, line: int, cells: Mapping[str, Any]) -> tuple[float, float]:
    """Return start and length in seconds, 0 for a length that is not told."""
    start = _number(path, line, "start", cells.get("start"))
    if cells.get("duration") not in (None, ""):
        return start, _number(path, line, "duration", cells["duration"])
    if cells.get("end") in (None, ""):
        return start, 0.0
    end = _number(path, line, "end", cells["end"])
    if end <= start:
        raise SourceError(f"{path}:{line}: the end, {end:g} s, is not after the start, {start:g} s")
    return start, end - start


def _number(path: Path, line: int, column: str, value: Any, least: float = 0.0) -> float:
    if value in (None, ""):
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number < 1e7:
        more = "" if least else ", 0 or more"
        raise SourceError(f"{path}:{line}: {column} is {value!r}; expected seconds{more}")
    return number or 0.0


def _split(path: Path, line: int, text: str) -> str:
    split = SPLIT_NAMES.get(text.lower(), text.lower())
    if split and not _SPLIT_PATTERN.fullmatch(split):
        raise SourceError(f"{path}:{line}: the split is {text!r}; expected train, test, val or another short name")
    return split
