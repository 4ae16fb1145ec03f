"""Galleries by name: which clips of a split are evaluated, and how they differ from what the name promises."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from avcorr.files import read_file

from ..errors import PairError
from ..moments.order import Ints
from .gallery import GalleryClip, Pooling

PUBLISHED = {"cavmae-1545": (1545, "4d58dadf6ffe612bd0374b0d0d3a798c6bbc7f768245f7aefcc9bacddf5591df")}
"""Number of ids and their hash (`hash_of`) of galleries that others published: CAV-MAE's list has five clips of
each of VGGSound's 309 classes. The lists themselves are theirs."""
_MOST_BYTES = 1 << 26
"""Of a list of ids."""
_HASH = re.compile(r"-[0-9a-f]{12}")


class Protocol:
    """A gallery and the pooling of its clips.

    Args:
        name: such as `full/center`, as the setting eval.protocol has it.
        list_path: file of the ids to evaluate, or "".
        seed: of what is drawn.

    Attributes:
        pooling: which views stand for a clip.
        notes: how the gallery differs from what its name promises; complete once clips are chosen.

    Raises:
        PairError: when the list cannot be read, or a package is missing.
    """

    def __init__(self, name: str, list_path: str, seed: int) -> None:
        self.name, _, pooling = name.partition("/")
        (self.pooling,) = (known for known in get_args(Pooling) if known == pooling)
        self.notes: list[str] = []
        self._path, self._seed = list_path, seed
        self._ids = read_ids(Path(list_path)) if list_path else None
        self._labels = read_vggsounder() if self.name == "vggsounder" else None
        if self._ids is not None and self.name in PUBLISHED:
            count, digest = PUBLISHED[self.name]
            if len(self._ids) != count:
                self.notes.append(f"the list has {len(self._ids)} ids; the published one has {count}")
            if hash_of(self._ids) != digest:
                self.notes.append(f"the list's hash is {hash_of(self._ids)[:12]}; the published one's is {digest[:12]}")

    def choose(self, clips: Sequence[GalleryClip]) -> Ints:
        """Return the numbers of the clips to evaluate. Raises PairError when there is none."""
        numbers = one_of_each_video(clips, self._seed) if self.name == "avenet" else np.arange(len(clips))
        if self._ids is not None:
            numbers = np.intersect1d(numbers, listed(clips, self._ids))
            present = {name for clip in clips for name in names_of(clip.key)}
            missing = [name for name in self._ids if name not in present]
            if missing:
                self.notes.append(f"{len(missing)} of {len(self._ids)} ids are not in the shards, {missing[0]} for one")
        if self._labels is not None:
            left = [number for number in numbers.tolist() if self._labels.of(clips[number].key)]
            self.notes.append(
                f"labels of vggsounder {self._labels.version}: {len(left)} of {len(numbers)} clips have some"
            )
            numbers = np.array(left, np.int64)
        if not len(numbers):
            where = f" ({self._path})" if self._path else ""
            raise PairError(f"none of the {len(clips)} clips is in the gallery of the protocol {self.name}{where}")
        return numbers

    def perceived(self, clips: Sequence[GalleryClip]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str] | None:
        """Return what is audible and visible in clips, bool (clips, L) each, and whose labels these are.

        None where the protocol goes by the shards' own labels.
        """
        if self._labels is None:
            return None
        return *self._labels.perceived(clips), f"VGGSounder {self._labels.version}"


def read_ids(path: Path) -> tuple[str, ...]:
    """Return the ids of a list: one a line, `#` begins a comment; an id that stands twice counts once.

    Raises:
        PairError: when the file cannot be read as text, or names nothing.
    """
    try:
        lines = read_file(path, _MOST_BYTES).decode().splitlines()
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


class ModalityLabels(NamedTuple):
    """VGGSounder's labels of VGGSound's test clips: several a clip, each audible, visible or both.

    They come with the package `vggsounder`, whose version changes the labels, so that it is part of every result.
    """

    version: str
    """Of the package."""
    clips: Mapping[str, tuple[tuple[str, str], ...]]
    """(label, "A", "V" or "AV") of each clip, by VGGSound's id: `AbCdEfGhIjK_000030`."""

    def of(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return the labels of a clip; none where it has no such labels."""
        return next((self.clips[name] for name in names_of(key) if name in self.clips), ())

    def perceived(self, clips: Sequence[GalleryClip]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return what is audible and what is visible, bool (clips, L) each; L labels in the order of their names."""
        names = sorted({label for labels in self.clips.values() for label, _ in labels})
        places = {name: place for place, name in enumerate(names)}
        audible, visible = (np.zeros((len(clips), len(names)), bool) for _ in range(2))
        for number, clip in enumerate(clips):
            for label, modality in self.of(clip.key):
                audible[number, places[label]] |= "A" in modality
                visible[number, places[label]] |= "V" in modality
        return audible, visible


def read_vggsounder() -> ModalityLabels:
    """Return the labels of the installed package, clips with background music included.

    Raises:
        PairError: when the package is not there.
    """
    try:
        import vggsounder
    except ImportError as error:
        raise PairError(
            f"the protocol vggsounder needs the package vggsounder ({error}); install it with: "
            "pip install 'avcorr[vggsounder]'"
        ) from error
    labels = vggsounder.VGGSounder(background_music=None)
    entries = (labels[place] for place in range(len(labels)))
    found = {entry.video_id: tuple(zip(entry.labels, entry.modalities, strict=True)) for entry in entries}
    return ModalityLabels(version("vggsounder"), found)
