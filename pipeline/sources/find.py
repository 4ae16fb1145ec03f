"""Find the videos of a corpus: files, folder trees, archives, and lists, in any mixture."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

from avcorr.files import read_file
from avcorr.json_file import load_json

from ..errors import SourceError
from .archive import MAX_MEMBER_BYTES, MOST_BESIDE, Member, MemoryFile, is_archive, list_archive
from .content import one_of_each
from .grouping import group_numbered, grouping, identity, label_by_folder
from .keys import choose_split, text, with_keys
from .list_columns import SPLIT_NAMES, other_value
from .source import Source, SourceList
from .video_list import read_video_list

__all__ = ["Source", "SourceList", "choose_split", "find_sources"]

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .dv .f4v .flv .insv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf "
    ".nut .ogg .ogv .qt .rm .rmvb .ts .vob .webm .wmv .wtv".split()
)
BESIDE_SUFFIXES = (".json", ".txt", ".cls")
"""Files beside a video that say what it shows: an object with label and caption, a caption, a label."""
SOUND_SUFFIXES = frozenset(".aac .flac .m4a .mp3 .oga .ogg .opus .w64 .wav".split())
_TOLD = frozenset(("labels", "label", "class", "caption", "text"))
"""Fields of such an object that mean something; the others are kept as columns."""
_SHADOW_FOLDERS = frozenset(("@eaDir", "__MACOSX", ".AppleDouble", "#recycle", ".Trashes"))
"""What NAS, macOS and zip programs put beside the files of people."""
Look = Callable[[str, MemoryFile], None]
"""Is shown a member of a compressed archive, with its name, in the pass that lists it."""


@dataclass
class _Found:
    """What was found where the user pointed to, and what was passed over."""

    cache: Path | None
    look: Look | None
    sources: list[Source] = field(default_factory=list)
    inner: list[PurePosixPath] = field(default_factory=list)
    """Path of each source below what was given, or in its archive."""
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def find_sources(
    source: Path | Sequence[Path],
    *,
    videos: Path | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
    group_by: str = "",
    folder_labels: bool = True,
    before_download: bool = False,
    cache: Path | None = None,
    cut: Callable[[Sequence[Source]], Iterable[Source]] | None = None,
    look: Look | None = None,
) -> SourceList:
    """Return the inputs that files, folders, archives and lists name.

    Args:
        source: one or more of: a video, a folder searched for videos and for archives of videos, an archive, a list
            (`video_list.py`).
        videos: the folder in which the names and ids of a list are looked up.
        test_fraction: share of source videos put into `test` where no split is given, by a hash of their names.
        seed: changes that choice.
        group_by: which clips are of one source video, see `grouping`; "" for what names tell by themselves.
        folder_labels: whether a layout of one folder a class gives labels.
        before_download: whether a list of ids is to be counted though no folder of videos is given.
        cache: folder in which listings of compressed archives are kept.
        cut: makes several inputs of each, such as the consecutive clips of a long video.
        look: is shown the members of compressed archives.

    Raises:
        SourceError: when nothing can be read there, or a row cannot be understood (with its line).
    """
    given = [source] if isinstance(source, Path) else list(source)
    found = _Found(cache, look)
    for path in given:
        _add(found, path, videos, _prefix(path, given), folder_labels, before_download)
    sources, again = one_of_each(found.sources)
    if again:
        _, why = again[0].problem or ("", "")
        found.notes.append(f"{len(again)} files are others by another name: {again[0].name} {why}")
    if found.left_out:
        parts = (f"{count} {suffix or 'without suffix'}" for suffix, count in found.left_out.most_common(12))
        found.notes.append(f"left out: {', '.join(parts)}")
    if not sources:
        wanted = " ".join(sorted(VIDEO_SUFFIXES))
        more = f"; {found.notes[-1]}" if found.left_out else ""
        raise SourceError(
            f"{given[0]} names no video; looked for files that end in {wanted}, loose or in archives{more}"
        )
    if group_by:
        video_of = grouping(group_by)
        sources[:] = [each if each.problem else replace(each, video=video_of(each.name)) for each in sources]
    else:
        group_numbered(sources)
    groups = len({each.video for each in sources})
    if groups < len(sources):
        how = f"--group-by {group_by}" if group_by else "what the list or the names say"
        found.notes.append(f"{groups} source videos in {len(sources)} files or rows, by {how}")
    if cut is not None:
        sources = list(cut(sources))
    told = any(each.split for each in sources)
    known = with_keys(sources, lambda video: choose_split(video, test_fraction, seed))
    splits = Counter(each.split for each in known.sources)
    if test_fraction and len(splits) == 1 and not told:
        only = next(iter(splits))
        found.notes.append(
            f"all clips are in {only}, for the hash put none of so few source videos elsewhere; "
            "name folders train and test, or give a list with a column split"
        )
    repeated = with_keys(again, lambda video: choose_split(video, test_fraction, seed))
    duplicates = (*known.duplicates, *repeated.sources, *repeated.duplicates)
    return replace(known, duplicates=duplicates, notes=tuple(found.notes))


def _prefix(path: Path, given: Sequence[Path]) -> str:
    """Return what tells the names of one of several folders from those of the others."""
    if len(given) == 1 or not path.is_dir():
        return ""
    alike = sum(other.name == path.name for other in given)
    return f"{path.name if alike == 1 else path.as_posix().strip('/')}/"


def _add(
    found: _Found, path: Path, videos: Path | None, prefix: str, folder_labels: bool, before_download: bool
) -> None:
    begin = len(found.sources)
    if path.is_dir():
        _from_folder(found, path, prefix)
    elif path.is_file() and is_archive(path.name):
        _from_archive(found, path, PurePosixPath(path.name))
    elif path.is_file() and _is_video(path.name):
        found.sources.append(_loose(path, text(Path(path.name)), ""))
        found.inner.append(PurePosixPath(path.name))
    elif path.is_file():
        found.sources += read_video_list(
            path, videos, lambda place: _listed(place, found), found.notes, before_download=before_download
        )
        return
    else:
        raise SourceError(f"{path} is neither a folder nor a video, an archive or a list that is there; "
                          "give --source one of them")  # fmt: skip
    if folder_labels and len(found.sources) > begin:
        part = found.sources[begin:]
        note = label_by_folder(part, found.inner[-len(part) :], frozenset(SPLIT_NAMES))
        found.sources[begin:] = part
        found.notes += [note] if note else []


def _listed(place: Path, found: _Found) -> list[Source]:
    """Return the videos of a folder or an archive that a list refers to."""
    below = _Found(found.cache, found.look)
    if place.is_dir():
        _from_folder(below, place, "")
    else:
        _from_archive(below, place, PurePosixPath(place.name))
    return below.sources


def _is_video(name: str) -> bool:
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES and not name.rpartition("/")[2].startswith("._")


def _loose(path: Path, shown: str, split: str) -> Source:
    video, start = identity(shown)
    return Source(path=os.path.abspath(path), name=shown, video=video, split=split, start=start)


def _from_folder(found: _Found, folder: Path, prefix: str) -> None:
    closed: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    with_sounds: list[str] = []
    unread: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back, or to what was listed already
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        shadows = [name for name in folders if name in _SHADOW_FOLDERS]
        folders[:] = sorted(name for name in folders if name not in _SHADOW_FOLDERS)
        found.left_out["folders of NAS or macOS"] += len(shadows)
        beside = {file for file in files if file.lower().endswith(BESIDE_SUFFIXES)}
        used: set[str] = set()
        for file in sorted(files + [name for name in folders if _is_video(name)]):
            path = Path(parent, file)
            name = path.relative_to(folder)
            if _is_video(file):
                source = _loose(path, prefix + text(name), _split(name.parts[:1]))
                stem = os.path.splitext(file)[0]
                near = [stem + suffix for suffix in BESIDE_SUFFIXES if stem + suffix in beside]
                used.update(near)
                found.sources.append(_told(source, {each: _read_beside(Path(parent, each), unread) for each in near}))
                found.inner.append(PurePosixPath(text(name)))
            elif is_archive(file):
                _from_archive(found, path, PurePosixPath(prefix + text(name)))
            else:
                found.left_out[_suffix(file)] += 1
        for file in used:
            found.left_out[_suffix(file)] -= 1
        sounds = {os.path.splitext(file)[0]: file for file in files if PurePath(file).suffix.lower() in SOUND_SUFFIXES}
        named = [file for file in files if _is_video(file) and sounds.get(os.path.splitext(file)[0], file) != file]
        with_sounds += [sounds[os.path.splitext(file)[0]] for file in named]
    if unread:
        found.notes.append(f"{len(unread)} files beside videos are not read, such as {unread[0]}")
    if with_sounds:
        found.notes.append(
            f"{len(with_sounds)} videos have a file of sound beside them that is not used, such as {with_sounds[0]}; "
            "a list with the columns path and audio joins the two"
        )
    found.left_out = +found.left_out
    for error in closed:
        message = f"the folder {error.filename} cannot be listed ({error.strerror}); it may hold videos"
        place = PurePosixPath(prefix + text(Path(error.filename).relative_to(folder)))
        found.sources.append(_problem(error.filename, place, ("unreadable", message)))
        found.inner.append(place)


def _suffix(file: str) -> str:
    return "._ files of macOS" if file.startswith("._") else PurePath(file).suffix.lower()


def _read_beside(path: Path, unread: list[str]) -> str:
    """Return what a file beside a video holds; "" where it cannot be read or is no UTF-8, which is noted."""
    try:
        return read_file(path, MOST_BESIDE).decode()
    except (OSError, UnicodeDecodeError) as error:
        unread.append(f"{path.name} ({error.strerror if isinstance(error, OSError) else 'is no UTF-8'})")
        return ""


def _told(source: Source, beside: dict[str, str]) -> Source:
    """Return a source with what the files beside it say, by their suffix; what is no object says nothing."""
    labels, caption, columns = source.labels, source.caption, source.columns
    for name, written in sorted(beside.items()):
        content = written.removeprefix("\ufeff").strip()
        try:
            values = load_json(content) if name.lower().endswith(".json") else {}
        except ValueError:
            continue
        if name.lower().endswith(".json") and isinstance(values, dict):
            given = values.get("labels") or values.get("label") or values.get("class") or ()
            names = given if isinstance(given, list) else [given]
            labels = tuple(str(each) for each in names if each not in (None, "")) or labels
            words = values.get("caption") or values.get("text")
            caption = words if isinstance(words, str) else caption
            columns = tuple((key, other_value(value)) for key, value in values.items() if key not in _TOLD)
        elif name.lower().endswith(".cls") and content:
            labels = (content,)
        elif name.lower().endswith(".txt") and content:
            caption = content
    return replace(source, labels=labels, caption=caption, columns=columns)


def _from_archive(found: _Found, path: Path, name: PurePosixPath) -> None:
    """Add the videos in an archive; the first folder or an archive's own name may be that of a split."""
    shown, place = str(name), os.path.abspath(path)

    def show(inner: str, file: MemoryFile) -> None:
        if found.look and _is_video(inner):
            found.look(f"{shown}/{text(inner)}", file)

    def add(inner: str, member: Member | None, problem: tuple[str, str] | None) -> None:
        below = text(inner.removeprefix("./"))
        full = f"{shown}/{text(inner)}"
        video, start = identity(full)
        split = _split((*name.parts[:-1][:1], name.name.partition(".")[0], below.partition("/")[0]))
        stem = os.path.splitext(inner)[0]
        near = {
            stem + suffix: listing.beside[stem + suffix]
            for suffix in BESIDE_SUFFIXES
            if stem + suffix in listing.beside
        }
        source = Source(path=place, name=full, video=video, split=split, start=start, member=member, problem=problem)
        found.sources.append(_told(source, near))
        found.inner.append(PurePosixPath(below))

    listing = list_archive(path, cache=found.cache, look=show if found.look else None, beside=BESIDE_SUFFIXES)
    videos = [(inner, member) for inner, member in listing.members if _is_video(inner) and not _is_shadow(inner)]
    for inner, member in videos:
        message = f"the member has {member.size} bytes; at most {MAX_MEMBER_BYTES} are read from an archive"
        add(inner, member, ("too_large", message) if member.size > MAX_MEMBER_BYTES else None)
    stems = {os.path.splitext(inner)[0] for inner, _ in videos}
    for inner, _ in listing.members:
        sidecar = inner.lower().endswith(BESIDE_SUFFIXES) and os.path.splitext(inner)[0] in stems
        if not sidecar and (not _is_video(inner) or _is_shadow(inner)):
            found.left_out[_suffix(inner.rpartition("/")[2])] += 1
    if listing.cut and _is_video(listing.cut):
        add(listing.cut, None, ("archive_damaged", f"the archive is damaged inside this member: {listing.damage}"))
    if listing.damage:
        damage = f"{listing.damage}; the members behind that are unknown"
        found.sources.append(_problem(path, name, ("archive_damaged", damage)))
        found.inner.append(name)


def _is_shadow(inner: str) -> bool:
    return not _SHADOW_FOLDERS.isdisjoint(PurePosixPath(inner).parts)


def _problem(path: str | Path, name: PurePosixPath, problem: tuple[str, str]) -> Source:
    """Return an input that stands for all that cannot be seen."""
    shown = str(name)
    return Source(path=os.path.abspath(path), name=shown, video=shown, split=_split(name.parts[:1]), problem=problem)


def _split(names: Iterable[str]) -> str:
    """Return the split that the first of these names to be one gives, "" where none is."""
    return next((SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES), "")
