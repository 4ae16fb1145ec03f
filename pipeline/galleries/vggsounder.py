"""VGGSounder's labels of VGGSound's test clips: several a clip, each audible, visible or both.

They come with the package `vggsounder`, whose version changes the labels, so that it is part of every result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ..errors import PairError
from ..moments.order import Ints
from .gallery import GalleryClip
from .lists import names_of


@dataclass(frozen=True, slots=True)
class Labels:
    """Which of L labels are audible and visible in clips."""

    version: str
    """Of the package."""
    clips: Mapping[str, tuple[tuple[str, str], ...]]
    """(label, "A", "V" or "AV") of each clip, by VGGSound's id: `AbCdEfGhIjK_000030`."""

    def covered(self, clips: Sequence[GalleryClip]) -> Ints:
        """Return the numbers of the clips that have labels."""
        return np.array([number for number, clip in enumerate(clips) if self._of(clip.key)], np.int64)

    def perceived(self, clips: Sequence[GalleryClip]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return what is audible and what is visible, bool (clips, L) each; L labels in the order of their names."""
        names = sorted({label for labels in self.clips.values() for label, _ in labels})
        places = {name: place for place, name in enumerate(names)}
        audible, visible = (np.zeros((len(clips), len(names)), bool) for _ in range(2))
        for number, clip in enumerate(clips):
            for label, modality in self._of(clip.key):
                audible[number, places[label]] |= "A" in modality
                visible[number, places[label]] |= "V" in modality
        return audible, visible

    def _of(self, key: str) -> tuple[tuple[str, str], ...]:
        return next((self.clips[name] for name in names_of(key) if name in self.clips), ())


def read_labels() -> Labels:
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
    return Labels(
        version("vggsounder"),
        {entry.video_id: tuple(zip(entry.labels, entry.modalities, strict=True)) for entry in entries},
    )
