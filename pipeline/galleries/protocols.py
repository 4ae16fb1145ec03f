"""Galleries by name: which clips of a split are evaluated, and how they differ from what the name promises."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import PairError
from ..moments.order import Ints
from .gallery import GalleryClip, Pooling
from .lists import hash_of, listed, names_of, one_of_each_video, read_ids
from .vggsounder import Labels, read_labels

PUBLISHED = {"cavmae-1545": (1545, "4d58dadf6ffe612bd0374b0d0d3a798c6bbc7f768245f7aefcc9bacddf5591df")}
"""Number of ids and their hash (`lists.hash_of`) of galleries that others published: CAV-MAE's list has five clips of
each of VGGSound's 309 classes. The lists themselves are theirs."""


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
        self._labels: Labels | None = read_labels() if self.name == "vggsounder" else None
        self._compare_with_published()

    def choose(self, clips: Sequence[GalleryClip]) -> Ints:
        """Return the numbers of the clips to evaluate.

        Raises:
            PairError: when there is none.
        """
        numbers = one_of_each_video(clips, self._seed) if self.name == "avenet" else np.arange(len(clips))
        if self._ids is not None:
            numbers = np.intersect1d(numbers, listed(clips, self._ids))
            self._note_missing(clips, self._ids)
        if self._labels is not None:
            covered = self._labels.covered(clips)
            left = np.intersect1d(numbers, covered)
            self.notes.append(
                f"labels of vggsounder {self._labels.version}: {len(left)} of {len(numbers)} clips have some"
            )
            numbers = left
        if not len(numbers):
            raise PairError(
                f"none of the {len(clips)} clips is in the gallery of the protocol {self.name}{self._where()}"
            )
        return numbers

    def perceived(self, clips: Sequence[GalleryClip]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str] | None:
        """Return what is audible and visible in clips, bool (clips, L) each, and whose labels these are.

        None where the protocol goes by the shards' own labels.
        """
        if self._labels is None:
            return None
        return *self._labels.perceived(clips), f"VGGSounder {self._labels.version}"

    def _compare_with_published(self) -> None:
        if self._ids is None or self.name not in PUBLISHED:
            return
        count, digest = PUBLISHED[self.name]
        if len(self._ids) != count:
            self.notes.append(f"the list has {len(self._ids)} ids; the published one has {count}")
        if hash_of(self._ids) != digest:
            self.notes.append(f"the list's hash is {hash_of(self._ids)[:12]}; the published one's is {digest[:12]}")

    def _note_missing(self, clips: Sequence[GalleryClip], ids: Sequence[str]) -> None:
        present = {name for clip in clips for name in names_of(clip.key)}
        missing = [name for name in ids if name not in present]
        if missing:
            self.notes.append(f"{len(missing)} of {len(ids)} ids are not in the shards, {missing[0]} for one")

    def _where(self) -> str:
        return f" ({self._path})" if self._path else ""
