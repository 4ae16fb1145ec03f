"""Find the videos of a corpus: a folder tree, archives, VGGSound's own CSV, or a CSV with a header."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath

from ..errors import SourceError
from .archive import MAX_MEMBER_BYTES, Member, MemoryFile, is_archive, list_archive
from .keys import choose_split, identity, text, with_keys
from .source import Source, SourceList
from .video_list import SPLIT_NAMES, read_video_list

__all__ = ["Source", "SourceList", "choose_split", "find_sources"]

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .f4v .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf "
    ".nut .ogg .ogv .qt .ts .vob .webm .wmv".split()
)
Look = Callable[[str, MemoryFile], None]
"""Is shown a member of a compressed archive, with its name, in the pass that lists it."""


def find_sources(
    source: Path | Sequence[Path],
    *,
    videos: Path | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
    cache: Path | None = None,
    cut: Callable[[Sequence[Source]], Iterable[Source]] | None = None,
    look: Look | None = None,
) -> SourceList:
    """Return the inputs that a folder, archives or a CSV name.

    Args:
        source: a folder searched for videos and for archives of videos, or one or more archives, or a CSV:
            VGGSound's four columns without a header, or a header with `path` and any of
            `label, split, start, duration`.
        videos: the folder that holds `<id>_<start>.mp4`, loose or in archives, for VGGSound's CSV.
        test_fraction: share of source videos put into `test` where no split is given, by a hash of their names.
        seed: changes that choice.
        cache: folder in which listings of compressed archives are kept.
        cut: makes several inputs of each, such as the consecutive clips of a long video.
        look: is shown the members of compressed archives.

    Raises:
        SourceError: when nothing can be read there, or a row cannot be understood (with its line).
    """
    given = [source] if isinstance(source, Path) else list(source)
    if len(given) > 1 or is_archive(given[0].name) and given[0].is_file():
        found: Iterable[Source] = _from_archives(given, cache, look)
    elif given[0].is_dir():
        found = _from_folder(given[0], cache, look)
    elif given[0].is_file():
        found = read_video_list(given[0], videos, lambda folder: _from_folder(folder, cache, look))
    else:
        raise SourceError(f"{given[0]} is neither a folder nor a CSV file nor a tar; give --source one of them")
    sources = list(found)
    if not sources:
        wanted = " ".join(sorted(VIDEO_SUFFIXES))
        raise SourceError(f"{given[0]} names no video; looked for files that end in {wanted}, loose or in tars")
    if cut is not None:
        sources = list(cut(sources))
    return with_keys(sources, lambda video: choose_split(video, test_fraction, seed))


def _is_video(name: str) -> bool:
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES


def _from_folder(folder: Path, cache: Path | None, look: Look | None) -> Iterator[Source]:
    closed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=closed.append):
        folders.sort()
        for file in sorted(files + [name for name in folders if _is_video(name)]):
            path = Path(parent, file)
            name = path.relative_to(folder)
            if _is_video(file):
                shown = text(name)
                video, start = identity(shown)
                split = _split(name.parts[:1])
                yield Source(path=os.path.abspath(path), name=shown, video=video, split=split, start=start)
            elif is_archive(file):
                yield from _from_archive(path, name, cache, look)
    for error in closed:
        message = f"the folder {error.filename} cannot be listed ({error.strerror}); it may hold videos"
        yield _problem(error.filename, Path(error.filename).relative_to(folder), ("unreadable", message))


def _from_archives(paths: Sequence[Path], cache: Path | None, look: Look | None) -> Iterator[Source]:
    for path in paths:
        if not (is_archive(path.name) and path.is_file()):
            raise SourceError(f"{path} is no tar archive that is there; only archives may be given several at once")
        yield from _from_archive(path, Path(path.name), cache, look)


def _from_archive(path: Path, name: Path, cache: Path | None, look: Look | None) -> Iterator[Source]:
    """Yield the videos in an archive; the first folder or an archive's own name may be that of a split."""
    shown, place = text(name), os.path.abspath(path)

    def show(inner: str, file: MemoryFile) -> None:
        if look and _is_video(inner):
            look(f"{shown}/{text(inner)}", file)

    def source_of(inner: str, member: Member | None, problem: tuple[str, str] | None) -> Source:
        full = f"{shown}/{text(inner)}"
        video, start = identity(full)
        split = _split((*name.parts[:-1][:1], name.name.partition(".")[0], inner.removeprefix("./").partition("/")[0]))
        return Source(path=place, name=full, video=video, split=split, start=start, member=member, problem=problem)

    listing = list_archive(path, cache=cache, look=show if look else None)
    for inner, member in listing.members:
        if _is_video(inner):
            message = f"the member has {member.size} bytes; at most {MAX_MEMBER_BYTES} are read from an archive"
            yield source_of(inner, member, ("too_large", message) if member.size > MAX_MEMBER_BYTES else None)
    if listing.cut and _is_video(listing.cut):
        message = f"the archive is damaged inside this member: {listing.damage}"
        yield source_of(listing.cut, None, ("archive_damaged", message))
    if listing.damage:
        yield _problem(path, name, ("archive_damaged", f"{listing.damage}; the members behind that are unknown"))


def _problem(path: str | Path, name: Path, problem: tuple[str, str]) -> Source:
    """Return an input that stands for all that cannot be seen."""
    shown = text(name)
    return Source(path=os.path.abspath(path), name=shown, video=shown, split=_split(name.parts[:1]), problem=problem)


def _split(names: Iterable[str]) -> str:
    """Return the split that the first of these names to be one gives, "" where none is."""
    return next((SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES), "")
