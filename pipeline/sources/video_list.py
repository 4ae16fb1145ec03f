"""Videos that a list names, by path or by id: each row becomes an input."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from ..errors import SourceError
from .archive import is_archive
from .grouping import clip_of_id
from .list_columns import Columns, Row
from .list_file import read_list
from .source import Source

logger = logging.getLogger(__name__)


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
    header, cells = read_list(path)
    columns = Columns(path, header)
    if columns.unknown:
        notes.append(
            f"{path.name} has other columns, which are kept beside the clips: {', '.join(map(repr, columns.unknown))}"
        )
    rows = columns.read(cells)
    if columns.by_path:
        return _by_path(path, rows, videos, find)
    return _by_id(path, rows, videos, find, notes, before_download)


def _by_path(
    path: Path, rows: Iterable[Row], videos: Path | None, find: Callable[[Path], Iterable[Source]]
) -> Iterator[Source]:
    archives: dict[Path, dict[str, Source]] = {}
    for row in rows:
        name = row.path
        if not name:
            raise SourceError(f"{path}:{row.line}: the path is empty")
        values = _values(path, row, videos)
        video = row.video or row.id or name
        if "://" in name:
            problem = "missing", "addresses in a list are not read; download the files first"
            yield Source(path=name, name=name, video=video, problem=problem, start=row.start, **values)
            continue
        values |= {"seek": row.start, "duration": row.duration}
        place = _place(path.parent, name, videos)
        archive = next((parent for parent in place.parents if is_archive(parent.name) and parent.is_file()), None)
        if archive is None:
            yield Source(path=os.path.abspath(place), name=name, video=video, start=row.start, **values)
            continue
        if archive not in archives:
            prefix = f"{archive.name}/"
            archives[archive] = {source.name.removeprefix(prefix): source for source in find(archive)}
        inner = place.relative_to(archive).as_posix()
        absent = Source(path=str(place), name=name, video=name, problem=("missing", f"is no member of {archive}"))
        yield replace(archives[archive].get(inner, absent), name=name, video=video, start=row.start, **values)


def _place(folder: Path, name: str, videos: Path | None) -> Path:
    """Return where a path of a list leads: below the list's folder, or else below that of the videos."""
    beside = folder / name
    if videos is not None and not beside.exists() and (videos / name).exists():
        return videos / name
    return beside


def _values(path: Path, row: Row, videos: Path | None) -> dict[str, Any]:
    """Return what a row says that does not depend on how it names its video."""
    audio = os.path.abspath(_place(path.parent, row.audio, videos)) if row.audio else ""
    return {"labels": row.labels, "caption": row.caption, "split": row.split, "audio": audio,
            "audio_offset": row.audio_offset, "columns": row.columns}  # fmt: skip


def _by_id(
    path: Path,
    rows: Iterable[Row],
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
    for row in rows:
        if not row.id:
            raise SourceError(f"{path}:{row.line}: the video id is empty")
        video, values = row.video or row.id, _values(path, row, videos)
        source, whole = index.find(row.id, row.start)
        if source is None:
            missing += 1
            near += [other.name for _, other in index.by_id.get(row.id, [])][:1]
            name = f"{row.id}_{int(row.start):06d}.mp4"
            yield Source(path=name, name=name, video=video, start=row.start, problem=absent, **values)
            continue
        if whole and not source.problem:
            values |= {"seek": row.start, "duration": row.duration}
        yield replace(source, name=source.name.rpartition("/")[2], video=video, start=row.start, **values)
    if near:
        notes.append(f"{missing} rows have no file; for {len(near)} of them a file with that id lies there but begins "
                     f"at another second, such as {near[0]}")  # fmt: skip
