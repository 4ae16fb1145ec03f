"""Tell files by what they hold and where they lie, not by their names."""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avcorr.files import open_file

from ..errors import SourceError
from .source import Source

_END_BYTES = 1 << 16
"""Bytes of a file's head, and of its tail, that its digest is made of."""


def content_of(*paths: str) -> tuple[int, str]:
    """Return the bytes of the first file, and a digest of size, head and tail of all, 32 hexadecimal digits.

    Raises OSError where one cannot be read.
    """
    digest, sizes = hashlib.blake2b(digest_size=16), []
    for path in paths:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(b"%d " % size)
            digest.update(file.read(_END_BYTES))
            file.seek(max(_END_BYTES, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
            sizes.append(size)
    return sizes[0], digest.hexdigest()


def differs(source: Source, size: int, digest: str, since: float) -> bool:
    """Return whether a source's files hold something else than a size and a digest say.

    No file is read that has not been written, renamed or the like since a moment, in seconds of the epoch. A member
    of an archive is known by its size, and what is gone is no other file.
    """
    if source.member is not None:
        return source.member.size != size
    paths = [source.path, *filter(None, [source.audio])]
    try:
        states = [os.stat(path) for path in paths]
        if states[0].st_size != size:
            return True
        touched = max(max(state.st_mtime, state.st_ctime) for state in states)
        return touched >= since and content_of(*paths) != (size, digest)
    except OSError:
        return False


def one_of_each(sources: Sequence[Source]) -> tuple[list[Source], list[Source]]:
    """Return the sources without those that are an earlier one's file by another name, and these with the reason.

    Links, hard links, and a folder that is given twice make such. Several spans of one file are several sources. One
    that stays gets the labels of those that go.

    Raises:
        SourceError: where the two are given for different splits.
    """
    places = [hash(place) if (place := _place(source)) else 0 for source in sources]
    values, counts = np.unique(np.array(places, np.int64), return_counts=True)
    shared = set(values[counts > 1].tolist()) - {0}
    kept: list[Source] = []
    again: list[Source] = []
    first: dict[object, int] = {}
    for source, number in zip(sources, places, strict=True):
        place = _place(source) if number in shared else None
        position = len(kept) if place is None else first.setdefault(place, len(kept))
        if position == len(kept) or kept[position].name == source.name:  # of one name: a row twice, told by the keys
            kept.append(source)
            continue
        same = kept[position]
        if same.split and source.split and same.split != source.split:
            raise SourceError(
                f"{source.name} is the same file as {same.name}, given for {source.split} and for {same.split}; "
                "keep one of them"
            )
        labels = tuple(dict.fromkeys((*same.labels, *source.labels)))
        kept[position] = replace(
            same, labels=labels, caption=same.caption or source.caption, split=same.split or source.split
        )
        again.append(replace(source, problem=("duplicate", f"is the same file as {same.name}")))
    return kept, again


def _place(source: Source) -> tuple[object, ...] | None:
    """Return what is the same for all names of a file and a span in it; None where there is no file."""
    if source.problem:
        return None
    try:
        status = os.stat(source.path)
        audio = os.stat(source.audio).st_ino if source.audio else 0
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # a folder or a pipe is told as what it is, by each of its names
        return None
    member = source.member.offset if source.member else -1
    return status.st_dev, status.st_ino, member, source.seek, source.duration, audio, source.audio_offset
