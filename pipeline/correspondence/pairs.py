"""The audio-visual correspondence task: pairs of a frame and a window of sound, and whether they belong together.

Pairs are drawn aligned: each frame with the window of sound centred on it. A negative is then made in one of two ways.
Of another video: sounds are exchanged among the pairs of a chunk that were drawn negative, so a chunk with such
negatives holds exactly the frames and the windows that it would hold without, and neither alone can tell a negative
from a positive. (With windows of negatives cut anywhere instead, AVE-Net measured 87.6 % for a true 81.9 %: arXiv
1712.06651, section 3.2.) Of the same clip: the window centred on another of its frames, far enough away.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from avcorr.shards.store import Root

from ..errors import PairError
from ..moments.catalogue import Catalogue
from ..moments.order import Samples
from ..moments.sampler import MomentDataset
from ..moments.task import Request
from ..settings import PairSettings
from .negatives import MATCH, OTHER_VIDEO, SAME_CLIP, derange, far_frames, two_or_none


class PairBatch(NamedTuple):
    """Frames with a window of sound each, for training."""

    frames: Tensor
    """uint8 (B, S, S, 3), RGB."""
    audio: Tensor
    """int16 (B, N), mono PCM."""
    matches: Tensor
    """bool (B,): whether the sound is the frame's own, centred on it."""
    videos: Tensor
    """int64 (B,): identity of the frame's source video; equal for clips of one video."""
    kinds: Tensor
    """int8 (B,): 0 the frame's own sound, 1 a sound of another video, 2 of the same clip at another time."""


class Correspondence:
    """Draws pairs as the settings say: a Task."""

    def __init__(self, settings: PairSettings) -> None:
        self._settings = settings

    def require(self, catalogue: Catalogue) -> None:
        """Refuse clips of a single video. Raises PairError."""
        if len(np.unique(catalogue.video)) < 2:
            raise PairError(
                f"{catalogue.root} has one source video in {catalogue.split!r}; pairs need clips of two at least"
            )

    def width(self, catalogue: Catalogue) -> int:
        """Return the samples of a window."""
        return catalogue.window

    def draw(self, samples: Samples, catalogue: Catalogue, rng: np.random.Generator) -> Request:
        """Draw the pairs of a chunk; a function of the arguments alone."""
        settings, clips, size = self._settings, samples.clips, len(samples.clips)
        frames = (catalogue.frames[clips] * (samples.segments + rng.random(size)) / samples.passes).astype(np.int64)
        crops = rng.random((size, 2)) if settings.crop == "random" else np.full((size, 2), 0.5)
        kinds, videos = np.zeros(size, np.int8), catalogue.video[clips]
        sound_clips, sound_frames = clips.copy(), frames.copy()
        if not settings.aligned:
            negative = rng.random(size) >= settings.positive_rate
            hard = negative & (rng.random(size) < settings.hard_negative_fraction)
            for pair in np.flatnonzero(hard).tolist():
                far = far_frames(catalogue, int(clips[pair]), int(frames[pair]), settings.min_offset_seconds)
                if len(far):
                    sound_frames[pair] = rng.choice(far)
                    kinds[pair] = SAME_CLIP
            others = two_or_none(np.flatnonzero(negative & (kinds == MATCH)), size, rng)
            source = others[derange(videos[others], rng)]
            moved = videos[source] != videos[others]
            target, source = others[moved], source[moved]
            sound_clips[target], sound_frames[target] = clips[source], frames[source]
            kinds[target] = OTHER_VIDEO
        starts = catalogue.centred(sound_clips, sound_frames)
        targets = (kinds == MATCH, videos, kinds)
        return Request.of_pairs(clips, frames, crops, sound_clips, starts, catalogue.window, targets)

    def collate(self, frames: Tensor, audio: Tensor, *targets: Tensor) -> PairBatch:
        """Return the batch."""
        return PairBatch(frames, audio, *targets)


class PairDataset(MomentDataset[PairBatch]):
    """Endless batches of pairs; arguments as of MomentDataset, whose task is Correspondence."""

    def __init__(
        self, root: Root, settings: PairSettings, *, batch_size: int, seed: int, rank: int = 0, ranks: int = 1,
        start: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(
            root, settings, Correspondence(settings), batch_size=batch_size, seed=seed, rank=rank, ranks=ranks,
            start=start,
        )  # fmt: skip
