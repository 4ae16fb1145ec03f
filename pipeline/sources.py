"""Find the videos of a corpus: a folder tree, VGGSound's own CSV, or a CSV with a header. Opens no video."""

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import SourceError

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .f4v .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf "
    ".nut .ogg .ogv .qt .ts .vob .webm .wmv".split()
)
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
               "test": "test", "testing": "test"}  # fmt: skip
_VGGSOUND_STEM = re.compile(r"([A-Za-z0-9_-]{11})_(\d{1,6})")
_SPLIT_PATTERN = re.compile(r"[a-z][a-z0-9]{0,20}")
_COLUMNS = ("path", "label", "split", "start", "duration")


@dataclass(frozen=True, slots=True)
class Source:
    """One input: where the video lies and what is known of it before it is opened."""

    key: str
    path: str
    """Absolute path of the file."""
    name: str
    """The path as it was given, for people."""
    video: str
    """Identity of the source video."""
    label: str
    split: str
    start: float
    """Where the clip begins in its source video, seconds."""
    seek: float
    """Where the clip begins in the file, seconds: 0 for a file that was cut already."""
    duration: float
    """Wanted length in seconds; 0 for as much as shard.clip_seconds allows."""


@dataclass(frozen=True, slots=True)
class SourceList:
    """The inputs to pack, sorted by key, and those that repeat an earlier one."""

    sources: tuple[Source, ...]
    duplicates: tuple[Source, ...]

    def fingerprint(self) -> str:
        """Return a sha256 over what decides the shards' contents: keys, names, splits and spans."""
        digest = hashlib.sha256()
        for source in self.sources:
            digest.update(
                f"{source.key}\0{source.name}\0{source.split}\0{source.label}\0".encode(errors="surrogateescape")
            )
            digest.update(f"{source.start!r} {source.seek!r} {source.duration!r}\n".encode())
        return digest.hexdigest()


def find_sources(source: Path, *, videos: Path | None = None, test_fraction: float = 0.1, seed: int = 0) -> SourceList:
    """Return the inputs that a folder or a CSV names.

    Args:
        source: a folder searched for videos, or a CSV: VGGSound's four columns without a header, or a header
            with `path` and any of `label, split, start, duration`.
        videos: the folder that holds `<id>_<start>.mp4`, for VGGSound's CSV.
        test_fraction: share of source videos put into `test` where no split is given, by a hash of their names.
        seed: changes that choice.

    Raises:
        SourceError: when nothing can be read there, or a row cannot be understood (with its line).
    """
    if source.is_dir():
        found = _from_folder(source)
    elif source.is_file():
        found = _from_csv(source, videos)
    else:
        raise SourceError(f"{source} is neither a folder nor a CSV file; give --source one of them")
    sources = [row if row.split else replace(row, split=choose_split(row.video, test_fraction, seed)) for row in found]
    if not sources:
        raise SourceError(f"{source} names no video; looked for files that end in {' '.join(sorted(VIDEO_SUFFIXES))}")
    return _with_keys(sources)


def choose_split(video: str, test_fraction: float, seed: int) -> str:
    """Return `test` for about `test_fraction` of all videos and `train` for the others, by a hash alone."""
    digest = hashlib.sha256(f"{seed}\0{video}".encode(errors="surrogateescape")).digest()
    return "test" if int.from_bytes(digest[:8]) < test_fraction * 2**64 else "train"


def _from_folder(folder: Path) -> Iterator[Source]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files + [name for name in folders if Path(name).suffix.lower() in VIDEO_SUFFIXES]):
            if Path(file).suffix.lower() in VIDEO_SUFFIXES:
                path = Path(parent, file)
                name = path.relative_to(folder)
                split = SPLIT_NAMES.get(name.parts[0].lower(), "") if len(name.parts) > 1 else ""
                video, start = _identity(name)
                yield Source("", os.path.abspath(path), _text(name), video, "", split, start, 0.0, 0.0)


def _identity(name: Path) -> tuple[str, float]:
    """Return source video and start of a file: those in a name of VGGSound's form, else the path itself and 0.

    A YouTube id is 11 random characters of 64, so one without capital, digit or hyphen is an ordinary word
    (`fire_engine_000012.mp4`) far more often than an id.
    """
    match = _VGGSOUND_STEM.fullmatch(name.stem)
    if match and re.search(r"[A-Z0-9-]", match[1]):
        return match[1], float(match[2])
    return _text(name), 0.0


def _text(name: Path) -> str:
    """Return a path as text that can be encoded whatever bytes the file system holds."""
    return os.fsencode(name.as_posix()).decode("utf-8", "backslashreplace")


def _from_csv(path: Path, videos: Path | None) -> Iterator[Source]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            first = next(rows, None)
            if first is None:
                raise SourceError(f"{path} is empty; expected VGGSound's four columns or a header with `path`")
            if "path" in (cell.strip() for cell in first):
                yield from _from_header_rows(path, [cell.strip() for cell in first], rows)
            else:
                yield from _from_vggsound_rows(path, [first, *rows], videos)
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not a CSV in UTF-8 ({error})") from error


def _from_vggsound_rows(path: Path, rows: Iterable[Sequence[str]], videos: Path | None) -> Iterator[Source]:
    if videos is None:
        raise SourceError(f"{path} has no header with `path`, so it is read as VGGSound's CSV: give --videos DIR too")
    if not videos.is_dir():
        raise SourceError(f"--videos {videos} is no folder")
    files = {name: os.path.join(parent, name) for parent, _, names in os.walk(videos) for name in names}
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
        file = os.path.abspath(files.get(name, videos / name))
        yield Source("", file, name, video, label, _split(path, line, split), start, 0.0, 0.0)


def _from_header_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Source]:
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
        if not name:
            raise SourceError(f"{path}:{line}: the path is empty")
        start = _number(path, line, "start", cells.get("start", "") or "0")
        duration = _number(path, line, "duration", cells.get("duration", "") or "0")
        yield Source(
            "", os.path.abspath(path.parent / name), name, name, cells.get("label", "").strip(),
            _split(path, line, cells.get("split", "").strip()), start, start, duration,
        )  # fmt: skip


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:
        raise SourceError(f"{path}:{line}: {column} is {text!r}; expected seconds, 0 or more")
    return value


def _split(path: Path, line: int, text: str) -> str:
    split = SPLIT_NAMES.get(text.lower(), text.lower())
    if split and not _SPLIT_PATTERN.fullmatch(split):
        raise SourceError(f"{path}:{line}: the split is {text!r}; expected train, test, val or another short name")
    return split


def _with_keys(sources: Sequence[Source]) -> SourceList:
    """Give each source a key that every loader takes: `v` and the name's stem, with a hash where that is not enough."""
    bases = [_base_key(source) for source in sources]
    counts = Counter(base.lower() for base, exact in bases if exact)
    seen: dict[str, Source] = {}
    duplicates: list[Source] = []
    for source, (base, exact) in zip(sources, bases, strict=True):
        key = base
        if not exact or counts[base.lower()] > 1:
            identity = f"{source.name}\0{source.seek!r}\0{source.duration!r}".encode(errors="surrogateescape")
            key = f"{base[:66]}-{hashlib.sha256(identity).hexdigest()[:12]}"
        if key in seen:
            duplicates.append(replace(source, key=key))
        else:
            seen[key] = replace(source, key=key)
    return SourceList(tuple(seen[key] for key in sorted(seen)), tuple(duplicates))


def _base_key(source: Source) -> tuple[str, bool]:
    """Return the key that the name gives and whether it says the name exactly."""
    stem = Path(source.name).stem
    match = _VGGSOUND_STEM.fullmatch(stem)
    stem = f"{match[1]}_{int(match[2]):06d}" if match else stem
    if source.seek or source.duration:
        stem = f"{stem}_{round(1000 * source.seek):08d}"
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", stem)
    return f"v{cleaned}"[:79], cleaned == stem and 0 < len(cleaned) <= 78
