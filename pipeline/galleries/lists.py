"""Which clips of a split are evaluated: those of a list of ids, or one of each source video."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import PairError
from ..moments.order import Ints
from .gallery import GalleryClip

_HASH = re.compile(r"-[0-9a-f]{12}")


def read_ids(path: Path) -> tuple[str, ...]:
    """Return the ids of a list: one a line, `#` begins a comment; an id that stands twice counts once.

    Raises:
        PairError: when the file cannot be read as text, or names nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PairError(f"the list {path} cannot be read: {error}") from error
    ids = tuple(dict.fromkeys(filter(None, (line.partition("#")[0].strip() for line in lines))))
    if not ids:
        raise PairError(f"the list {path} names no clip; it must hold one id a line")
    return ids


def hash_of(ids: Sequence[str]) -> str:
    """Return the SHA-256 of a list of ids, whatever their order: of the sorted ids, one a line."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def names_of(key: str) -> tuple[str, ...]:
    """Return what a list may call a clip: its key, or the name that the key was made of.

    The key of `AbCdEfGhIjK_000030.mp4` is `vAbCdEfGhIjK_000030`, with a hash behind it where another name differs from
    it in upper and lower case only.
    """
    name = key.removeprefix("v")
    return key, name, _HASH.sub("", name) if _HASH.fullmatch(name[-13:]) else name


def listed(clips: Sequence[GalleryClip], ids: Sequence[str]) -> Ints:
    """Return the numbers of the clips that a list names, in their own order."""
    wanted = set(ids)
    return np.array([number for number, clip in enumerate(clips) if wanted & set(names_of(clip.key))], np.int64)


def one_of_each_video(clips: Sequence[GalleryClip], seed: int) -> Ints:
    """Return the numbers of one clip of each source video, chosen by the seed and the clips' keys alone."""
    chosen: dict[int, tuple[bytes, int]] = {}
    for number, clip in enumerate(clips):
        rank = hashlib.blake2b(f"{seed} {clip.key}".encode(), digest_size=8).digest()
        chosen[clip.video] = min(chosen.get(clip.video, (rank, number)), (rank, number))
    return np.array(sorted(number for _, number in chosen.values()), np.int64)
