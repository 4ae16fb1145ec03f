"""Names of clips: the key that every loader takes, the identity of the source video, the split by a hash."""

import hashlib
import os
import re
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import SourceError
from .source import Source, SourceList

_VGGSOUND_STEM = re.compile(r"([A-Za-z0-9_-]{11})_(\d{1,6})")


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
    taken = _ambiguous(sources)
    for number, source in enumerate(sources):
        base, exact = _base_key(source)
        if not exact or _short_hash(base.lower()) in taken:
            name = f"{source.name}\0{source.seek!r}\0{source.duration!r}"
            if source.audio:
                name += f"\0{os.path.basename(source.audio)}\0{source.audio_offset!r}"
            digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
            base = f"{base[:66]}-{digest[:12]}"
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
        sources[place] = replace(kept, labels=labels, caption=kept.caption or again.caption)


def _ambiguous(sources: Sequence[Source]) -> frozenset[int]:
    """Return hashes of the base keys that stand more than once, upper and lower case being one."""
    hashes = array("Q")
    for source in sources:
        base, exact = _base_key(source)
        if exact:
            hashes.append(_short_hash(base.lower()))
    values, counts = np.unique(np.frombuffer(hashes, np.uint64), return_counts=True)
    return frozenset(values[counts > 1].tolist())


def _short_hash(base: str) -> int:
    return int.from_bytes(hashlib.blake2b(base.encode(), digest_size=8).digest())


def _base_key(source: Source) -> tuple[str, bool]:
    """Return the key that the name gives and whether it says the name exactly."""
    stem = os.path.splitext(source.name.rpartition("/")[2])[0]
    match = _VGGSOUND_STEM.fullmatch(stem)
    stem = f"{match[1]}_{int(match[2]):06d}" if match else stem
    if source.seek or source.duration:
        stem = f"{stem}_{round(1000 * source.seek):08d}"
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", stem)
    return f"v{cleaned}"[:79], cleaned == stem and 0 < len(cleaned) <= 78
