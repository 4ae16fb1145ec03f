"""Which source video a clip is of, told by the names that people and programs give."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ..errors import SourceError
from .source import Source

_CLIP = re.compile(r"Y?([A-Za-z0-9_-]{11})(?:_(\d+(?:\.\d+)?)(?:_(\d+(?:\.\d+)?))?)?")
_SCENE = re.compile(r"(.+?)[-_ ][Ss]cene[-_ ]?\d+")
_CHAPTER = re.compile(r"(?:G[HXLP]\d\d|GOPR)(\d{4})")
_NUMBERED = re.compile(r"(.+)[-_](\d{3,6})")


def clip_of_id(name: str) -> tuple[str, float] | None:
    """Return id and start in seconds that a file's name says; None for a name of another form.

    The forms are `<id>`, `<id>_<s>` (VGGSound), `<id>_<s>_<s>` with six digits each (Kinetics), `<id>_<s.sss>` and
    `<id>_<ms>_<ms>`, each with or without the `Y` that downloaders of AudioSet put first.
    """
    stem = PurePosixPath(name).stem
    match = _CLIP.fullmatch(stem)
    if match is None or not re.search(r"[A-Z0-9-]", match[1]):
        # an id is 11 random characters of 64: without capital, digit or hyphen it is a word (`fire_engine_000012.mp4`)
        return None
    start, stop = match[2] or "0", match[3]
    milliseconds = stop is not None and not (len(start) == len(stop) == 6) and float(stop) - float(start) >= 1000
    return match[1], float(start) / (1000 if milliseconds else 1)


def identity(name: str) -> tuple[str, float]:
    """Return source video and start of a file by its path: the path itself and 0 where nothing tells more."""
    path = PurePosixPath(name)
    known = clip_of_id(name)
    if known is not None:
        return known
    parent = path.parent.name
    if path.stem.isdecimal() and clip_of_id(parent) == (parent, 0.0):  # VoxCeleb
        return parent, 0.0
    for pattern in (_SCENE, _CHAPTER):
        match = pattern.fullmatch(path.stem)
        if match:
            return str(path.with_name(match[1] + path.suffix)), 0.0
    return name, 0.0


def group_numbered(sources: list[Source]) -> None:
    """Take `film_000`, `film_001`, ... for clips of one video where a folder holds several such rows without gaps.

    A single row of numbers is as likely a corpus whose videos were numbered, and stays as it is.
    """
    rows: defaultdict[tuple[str, str], dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for place, source in enumerate(sources):
        if source.video != source.name or source.problem:
            continue
        path = PurePosixPath(source.name)
        match = _NUMBERED.fullmatch(path.stem)
        if match:
            rows[str(path.parent), path.suffix][match[1]].append((int(match[2]), place))
    for (folder, suffix), by_prefix in rows.items():
        numbers = [sorted(number for number, _ in row) for row in by_prefix.values()]
        whole = all(row[0] in (0, 1) and len(row) > 1 and row == [*range(row[0], row[0] + len(row))] for row in numbers)
        if len(by_prefix) > 1 and whole:
            for prefix, row in by_prefix.items():
                for _, place in row:
                    sources[place] = replace(sources[place], video=f"{folder}/{prefix}{suffix}".removeprefix("./"))


def grouping(rule: str) -> Callable[[str], str]:
    """Return what gives the source video of a clip by its path.

    Args:
        rule: the number of a folder on the path (1 for the first, -1 for the last), or a regular expression, whose
            first group, or whole match, names the video.

    Raises:
        SourceError: when it is neither.
    """
    if re.fullmatch(r"-?\d+", rule):
        level = int(rule)

        def by_folder(name: str) -> str:
            folders = PurePosixPath(name).parts[:-1]
            place = level - 1 if level > 0 else len(folders) + level
            return "/".join(folders[: place + 1]) if 0 <= place < len(folders) else name

        return by_folder
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise SourceError(
            f"--group-by {rule!r} is neither the number of a folder nor a regular expression ({error})"
        ) from error

    def by_pattern(name: str) -> str:
        match = pattern.search(name)
        return name if match is None else match[1] if pattern.groups and match[1] else match[0]

    return by_pattern


def label_by_folder(sources: list[Source], inner: Sequence[PurePosixPath], splits: frozenset[str]) -> str:
    """Give each source the label of its folder, where the layout is one folder a class; return what was done.

    Args:
        sources: changed in place.
        inner: their paths below what was given.
        splits: names of folders that are splits.
    """
    places = [place for place, source in enumerate(sources) if not source.problem]
    folders = [inner[place].parts[:-1] for place in places]
    folders = [parts[1:] if parts and parts[0].lower() in splits else parts for parts in folders]
    names = {parts[0] for parts in folders if len(parts) == 1}
    told = any(source.label for source in sources)
    odd = all(name.isdecimal() or clip_of_id(name) for name in names)
    if told or len(names) < 2 or odd or any(len(parts) != 1 for parts in folders):
        return ""
    for place, parts in zip(places, folders, strict=True):
        sources[place] = replace(sources[place], labels=(parts[0],))
    few = ", ".join(sorted(names)[:3])
    return f"labels are the names of {len(names)} folders ({few}, ...); --set shard.folder_labels=false leaves them out"
