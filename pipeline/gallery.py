"""The views that a model is evaluated on: each clip of a split once, at times that only the seed decides."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from shards.clip import Clip
from shards.index import Index
from shards.reader import read_clips

from .batches import ViewBatch
from .errors import PairError
from .views import View, decode_views, eligible_frames, make_view, window


@dataclass(frozen=True, slots=True)
class GalleryClip:
    """A clip that is evaluated."""

    key: str
    video: str
    label: str


class Gallery:
    """The clips of a split, and batches of views of them.

    Args:
        root: the dataset's folder.
        split: which split.
        views_per_clip: views of each clip; a clip with fewer frames in reach gives as many as it has.
        seed: decides the times, together with each clip's key and nothing else.
        frame_size, window_seconds: as the model was trained.

    Attributes:
        clips: the clips that gave views, in the order of their numbers; complete once `batches` has ended.
        too_short: how many clips are shorter than a window.
    """

    def __init__(
        self, root: Path, split: str, *, views_per_clip: int, seed: int, frame_size: int, window_seconds: float
    ) -> None:
        self.root, self.records = root, Index(root).of_split(split)
        self.views_per_clip, self.seed = views_per_clip, seed
        self.frame_size, self.window_seconds = frame_size, window_seconds
        self.clips: list[GalleryClip] = []
        self.too_short = 0

    def batches(self, batch_size: int) -> Iterator[ViewBatch]:
        """Yield all views in batches; the first view of each clip comes first among its own.

        Raises:
            PairError: when no clip is long enough.
        """
        self.clips, self.too_short = [], 0
        pending: list[tuple[int, View]] = []
        for number, clip, frames in self._clips():
            pending += [(number, make_view(clip, frame, self.window_seconds, 0)) for frame in frames]
            while len(pending) >= batch_size:
                yield self._batch(pending[:batch_size])
                del pending[:batch_size]
        if pending:
            yield self._batch(pending)
        if not self.clips:
            raise PairError(f"{self.root}: no clip of the split is as long as one window of {self.window_seconds:g} s")

    def media(self, wanted: Iterable[tuple[int, float]]) -> Mapping[tuple[int, float], tuple[bytes, bytes]]:
        """Return picture (JPEG) and window of sound (WAV) of each (clip number, frame time) of the last `batches`."""
        times: dict[str, list[tuple[int, float]]] = {}
        for number, time in wanted:
            times.setdefault(self.clips[number].key, []).append((number, time))
        found: dict[tuple[int, float], tuple[bytes, bytes]] = {}
        for record in self.records:
            if any(clip.key in times for clip in record.clips):
                for clip in read_clips(self.root, record):
                    for number, time in times.get(clip.key, ()):
                        found[number, time] = self._medium(clip, time)
        return found

    def _clips(self) -> Iterator[tuple[int, Clip, list[int]]]:
        for record in self.records:
            for clip in read_clips(self.root, record):
                frames = eligible_frames(clip.metadata, self.window_seconds)
                if not frames:
                    self.too_short += 1
                    continue
                digest = hashlib.blake2b(clip.key.encode(), digest_size=8).digest()
                rng = np.random.default_rng([self.seed, int.from_bytes(digest)])
                count = min(self.views_per_clip, len(frames))
                chosen = [int(frame) for frame in rng.choice(frames, count, replace=False)]
                self.clips.append(GalleryClip(clip.key, clip.metadata.video, clip.metadata.label))
                yield len(self.clips) - 1, clip, chosen

    def _batch(self, views: list[tuple[int, View]]) -> ViewBatch:
        frames, audio = decode_views([view for _, view in views], self.frame_size, None)
        return ViewBatch(
            torch.from_numpy(frames),
            torch.from_numpy(audio),
            torch.tensor([number for number, _ in views], dtype=torch.int64),
            torch.tensor([view.time for _, view in views], dtype=torch.float64),
        )

    def _medium(self, clip: Clip, time: float) -> tuple[bytes, bytes]:
        frame = clip.metadata.frame_times.index(time)
        samples = np.frombuffer(clip.samples(*window(clip.metadata, time, self.window_seconds)), "<i2")
        sound = io.BytesIO()
        soundfile.write(sound, samples, clip.metadata.sample_rate, format="WAV", subtype="PCM_16")
        return bytes(clip.frame(frame)), sound.getvalue()
