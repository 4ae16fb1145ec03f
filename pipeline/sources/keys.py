"""Names of clips: the key that every loader takes, the identity of the source video, the split by a hash."""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import SourceError
from .source import Source, SourceList

_VGGSOUND_STEM = re.compile(r"([A-Za-z0-9_-]{11})_(\d{1,6})")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_-]")


def choose_split(video: str, test_fraction: float, seed: int) -> str:
    """Return `test` for about `test_fraction` of all videos and `train` for the others, by a hash alone."""
    digest = hashlib.sha256(f"{seed}\0{video}".encode(errors="surrogateescape")).digest()
    return "test" if int.from_bytes(digest[:8]) < test_fraction * 2**64 else "train"


def text(name: Path | str) -> str:
    """Return a path as text that can be encoded whatever bytes the file system holds."""
    posix = name.as_posix() if isinstance(name, Path) else name
    return os.fsencode(posix).decode("utf-8", "backslashreplace")


def with_keys(sources: list[Source], split_of: Callable[[str], str]) -> SourceList:
    """Give each source a key, and a split where it has none; return them sorted by key, repeated ones apart.

    A key is `v` and the name's stem, with a hash where that is not enough. The list is changed in place, because a
    copy of a million sources would not be small.
    """
    bases = [_base_key(source) for source in sources]
    taken = _ambiguous(bases)
    for number, (source, base) in enumerate(zip(sources, bases, strict=True)):
        if not base or hash(base.lower()) in taken:
            name = f"{source.name}\0{source.seek!r}\0{source.duration!r}"
            if source.audio:
                name += f"\0{os.path.basename(source.audio)}\0{source.audio_offset!r}"
            digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
            base = f"v{_NOT_IN_KEYS.sub('_', _stem(source))}"[:66] + f"-{digest[:12]}"
        sources[number] = replace(source, key=base, split=sys.intern(source.split or split_of(source.video)))
    sources.sort(key=lambda source: source.key)
    duplicates = [later for earlier, later in zip(sources, sources[1:], strict=False) if earlier.key == later.key]
    if duplicates:
        repeated = {id(source) for source in duplicates}
        sources[:] = [source for source in sources if id(source) not in repeated]
        _join(sources, duplicates)
    return SourceList(sources, duplicates)


def _join(sources: list[Source], duplicates: Sequence[Source]) -> None:
    """Give the labels of repeated inputs to those that stay. Raises SourceError where their splits differ."""
    places = {source.key: place for place, source in enumerate(sources)}
    for again in duplicates:
        place = places[again.key]
        kept = sources[place]
        if kept.split != again.split:
            raise SourceError(f"{again.name} is given twice, for {kept.split} and for {again.split}; keep one of them")
        labels = tuple(dict.fromkeys((*kept.labels, *again.labels)))
        sources[place] = replace(
            kept,
            labels=labels,
            caption=kept.caption or again.caption,
            columns=tuple({**dict(again.columns), **dict(kept.columns)}.items()),
        )


def _ambiguous(bases: Sequence[str]) -> frozenset[int]:
    """Return hashes of the base keys that stand more than once, upper and lower case being one."""
    hashes = np.fromiter((hash(base.lower()) for base in bases if base), np.int64)
    values, counts = np.unique(hashes, return_counts=True)
    return frozenset(values[counts > 1].tolist())


def _base_key(source: Source) -> str:
    """Return the key that the name gives, "" where it would not say the name exactly."""
    stem = _stem(source)
    return f"v{stem}" if 0 < len(stem) <= 78 and not _NOT_IN_KEYS.search(stem) else ""


def _stem(source: Source) -> str:
    stem = source.name.rpartition("/")[2]
    dot = stem.rfind(".")
    if dot > 0 and not stem.startswith("." * dot):  # as os.path.splitext, in a third of its time
        stem = stem[:dot]
    match = _VGGSOUND_STEM.fullmatch(stem)
    stem = f"{match[1]}_{int(match[2]):06d}" if match else stem
    return f"{stem}_{round(1000 * source.seek):08d}" if source.seek or source.duration else stem
