"""The views that a model is evaluated on: each clip of a split once, at times that only the seed decides."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import simplejpeg
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from avcorr.shards.ahead import map_ahead
from avcorr.shards.index.record import ShardEntry
from avcorr.shards.store import Root
from avcorr.shards.stores.open import open_store

from ..errors import PairError
from ..moments.catalogue import Catalogue
from ..moments.order import Ints
from ..moments.reading import Fetched, Reader, no_bad_shards
from ..moments.task import Request
from ..moments.views import decode_frames, decode_sounds


@dataclass(frozen=True, slots=True)
class GalleryClip:
    """A clip that is evaluated."""

    key: str
    video: int
    """63-bit number of its source video."""
    label: str


class ViewBatch(NamedTuple):
    """Frames with their own windows of sound, for evaluation."""

    frames: Tensor
    """uint8 (B, S, S, 3), RGB, centre crop."""
    audio: Tensor
    """int16 (B, N), mono PCM."""
    clips: Tensor
    """int64 (B,): position in the list of clips evaluated."""
    times: Tensor
    """float64 (B,): presentation time of the frame in its clip, seconds."""


Pooling = Literal["center", "mean10", "random"]
"""Which views of a clip stand for it: the one nearest its middle, ten evenly over it, or the first that is drawn."""
POOLED = 10


class Gallery:
    """The clips of a split, and batches of views of them.

    Args:
        root: the dataset's folder, or the URL of an object store.
        split: which split.
        views_per_clip: views drawn of each clip; a clip with fewer frames in reach gives as many as it has.
        seed: decides the times, together with each clip's key and nothing else.
        frame_size, window_seconds: as the model was trained.
        pooling: which views stand for a clip in retrieval; those that are not drawn anyway come on top.
        choose: the numbers of the clips to keep, among all of the split; default: all.

    Attributes:
        clips: the clips, in the order of their numbers.
        drawn: int64 (clips, views_per_clip), the numbers of the drawn views; a clip with fewer repeats its own.
        pooled: int64 (clips, 1 or 10), the numbers of the views that stand for the clip.
        too_short: how many clips of the split are shorter than a window and left out.
        sample_rate: of their sound, Hz.

    Raises:
        DatasetMismatchError: when `root` lacks the split.
        PairError: when no clip is long enough, or none is chosen.
    """

    def __init__(
        self,
        root: Root,
        split: str,
        *,
        views_per_clip: int,
        seed: int,
        frame_size: int,
        window_seconds: float,
        pooling: Pooling = "random",
        choose: Callable[[Sequence[GalleryClip]], Ints] | None = None,
    ) -> None:
        store, self._frame_size = open_store(root), frame_size
        self._catalogue = catalogue = Catalogue(store, split, window_seconds, texts=True)
        self._reader = Reader(store, catalogue)
        clips = tuple(map(GalleryClip, catalogue.keys, catalogue.video.tolist(), catalogue.labels))
        self._kept = choose(clips) if choose else np.arange(len(clips))
        if not len(self._kept):
            raise PairError(f"none of the {len(clips)} clips of the split {split!r} is to be evaluated")
        self.clips = tuple(clips[number] for number in self._kept.tolist())
        self.too_short, self.sample_rate = catalogue.too_short, catalogue.sample_rate
        rows = [self._choose(number, views_per_clip, seed, pooling) for number in self._kept.tolist()]
        firsts = np.cumsum([0, *(len(frames) for frames, _, _ in rows)])
        self._numbers = np.repeat(np.arange(len(rows)), np.diff(firsts))
        self._frames = np.concatenate([frames for frames, _, _ in rows])
        self.drawn = np.stack([first + drawn for first, (_, drawn, _) in zip(firsts, rows, strict=False)])
        self.pooled = np.stack([first + pooled for first, (_, _, pooled) in zip(firsts, rows, strict=False)])

    def __len__(self) -> int:
        """Return how many views there are."""
        return len(self._numbers)

    @property
    def shards(self) -> tuple[ShardEntry, ...]:
        """The shards of the split."""
        return self._catalogue.shards

    def views_of(self, shard: int) -> int:
        """Return how many views a shard gives, by its position in `shards`."""
        return int(np.count_nonzero(self._owners() == shard))

    def batches(self, batch_size: int) -> Iterator[ViewBatch]:
        """Yield all views in batches, in the order of their numbers.

        Raises:
            ShardError: when a shard is short, altered or gone.
        """
        with no_bad_shards():
            for shard in range(len(self.shards)):
                self._reader.check(shard)
        for first in range(0, len(self._numbers), batch_size):
            yield self._batch(slice(first, first + batch_size))

    def shard_batches(self, shards: Sequence[int], batch_size: int, threads: int) -> Iterator[tuple[int, ViewBatch]]:
        """Yield the views of some shards, in this order, in batches of one shard each, made ahead in threads.

        Raises:
            ShardError: when a shard is short, altered or gone.
        """
        owner = self._owners()
        pieces = []
        for shard in shards:
            start, stop = np.searchsorted(owner, [shard, shard + 1]).tolist()
            pieces += [(shard, slice(at, min(at + batch_size, stop))) for at in range(start, stop, batch_size)]

        def make(piece: tuple[int, slice]) -> tuple[int, ViewBatch]:
            return piece[0], self._batch(piece[1])

        with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as executor:
            yield from map_ahead(executor, make, pieces, 2 * threads)

    def _owners(self) -> Ints:
        """Return the shard of each view."""
        owners: Ints = self._catalogue.shard[self._kept[self._numbers]]
        return owners

    def _batch(self, rows: slice) -> ViewBatch:
        catalogue = self._catalogue
        numbers, frames = self._numbers[rows], self._frames[rows]
        clips = self._kept[numbers]
        pictures = np.empty((len(clips), self._frame_size, self._frame_size, 3), np.uint8)
        windows = np.empty((len(clips), catalogue.window), np.int16)
        with no_bad_shards():
            self._reader.decode(self._read(clips, frames), pictures, windows)
        return ViewBatch(
            torch.from_numpy(pictures),
            torch.from_numpy(windows),
            torch.from_numpy(numbers),
            torch.from_numpy(catalogue.times(clips, frames)),
        )

    def media(self, wanted: Iterable[tuple[int, float]]) -> Mapping[tuple[int, float], tuple[bytes, bytes]]:
        """Return picture (JPEG) and window of sound (WAV) of each (clip number, frame time)."""
        views, clips, frames = self._find(wanted)
        read = self._read(clips, frames)
        sounds = np.empty((len(views), self._catalogue.window), np.int16)
        decode_sounds(read.sounds, read.request.starts, read.request.lengths, sounds)
        return dict(zip(views, zip(read.jpegs, map(self._wav, sounds), strict=True), strict=True))

    def crops(self, wanted: Iterable[tuple[int, float]]) -> Mapping[tuple[int, float], bytes]:
        """Return what a model sees of the pictures, JPEG, of each (clip number, frame time)."""
        views, clips, frames = self._find(wanted)
        pictures = np.empty((len(views), self._frame_size, self._frame_size, 3), np.uint8)
        decode_frames(self._read(clips, frames).jpegs, np.full((len(views), 2), 0.5), pictures)
        return {view: simplejpeg.encode_jpeg(picture, 90) for view, picture in zip(views, pictures, strict=True)}

    def _find(self, wanted: Iterable[tuple[int, float]]) -> tuple[list[tuple[int, float]], Ints, Ints]:
        """Return the views in order, their clips among all of the split, and their frames."""
        views = sorted(set(wanted))
        clips = self._kept[np.array([clip for clip, _ in views], np.int64)]
        times = map(self._catalogue.times_of, clips.tolist())
        found = [np.abs(own - time).argmin() for own, (_, time) in zip(times, views, strict=True)]
        return views, clips, np.array(found, np.int64)

    def _read(self, clips: Ints, frames: Ints) -> Fetched:
        catalogue = self._catalogue
        starts, centre = catalogue.centred(clips, frames), np.full((len(clips), 2), 0.5)
        with no_bad_shards():
            (read,) = self._reader.read([Request.of_pairs(clips, frames, centre, clips, starts, catalogue.window)])
            self._reader.look(read)
        return read

    def _wav(self, samples: NDArray[np.int16]) -> bytes:
        sound = io.BytesIO()
        rate = self._catalogue.sample_rate
        soundfile.write(sound, samples, rate, format="WAV", subtype="PCM_16")
        return sound.getvalue()

    def _choose(self, clip: int, count: int, seed: int, pooling: Pooling) -> tuple[Ints, Ints, Ints]:
        """Return the frames of a clip's views, and which of them are drawn and which stand for the clip."""
        catalogue = self._catalogue
        drawn = _draw(catalogue.keys[clip], int(catalogue.frames[clip]), count, seed)
        parts = {"center": 1, "mean10": POOLED}.get(pooling, 0)
        targets = catalogue.seconds(clip) * (np.arange(parts) + 0.5) / max(parts, 1)
        pooled = np.abs(catalogue.times_of(clip)[None, :] - targets[:, None]).argmin(axis=1) if parts else drawn[:1]
        more = [frame for frame in dict.fromkeys(pooled.tolist()) if frame not in drawn]
        frames = np.concatenate([drawn, np.array(more, np.int64)])
        place = {frame: number for number, frame in enumerate(frames.tolist())}
        return frames, np.resize(np.arange(len(drawn)), count), np.array([place[frame] for frame in pooled.tolist()])


def _draw(key: str, frames: int, count: int, seed: int) -> Ints:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest)])
    return rng.choice(frames, min(count, frames), replace=False)
