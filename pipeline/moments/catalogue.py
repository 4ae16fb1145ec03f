"""Every clip of a split that can give pairs, in a few flat arrays: where its frames and its sound lie in the shards.

Read once from the tables of all shards, before any worker starts: workers that are forked share it, and to draw a
pair costs arithmetic. 200,000 clips of 40 frames take about 100 MB.
"""

import hashlib
import logging
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.format import sound_codec
from avcorr.shards.index.clip_table import Table
from avcorr.shards.index.layout import MANIFEST
from avcorr.shards.index.record import ShardEntry
from avcorr.shards.store import ByteRange, Root

from ..errors import PairError

logger = logging.getLogger(__name__)

Ints = NDArray[np.int64]
_NEEDED = (
    "video", "width", "height", "sample_rate", "sample_count", "channels", "frame_times", "frame_offsets",
    "mjpg_offset",
    f"{sound_codec.SUFFIX}_offset",
)  # fmt: skip
_OF_CLIPS = "video", "width", "height", "frames", "sound", "samples", "mjpg"
_OF_FRAMES = "start", "stop", "time"


class Catalogue:
    """The clips of a split that are at least one window long, numbered in the order of the shards.

    Args:
        root, split: where the dataset lies, and which clips; kept as attributes.
        window_seconds: length of the window of sound around a frame; frames whose window leaves the sound are left out.
        texts: whether to read keys and labels too.

    Attributes:
        shards: the shards of the split.
        shard: (n,) each clip's shard, as a position in `shards`; ascending.
        video: (n,) a 63-bit number for its source video, equal for clips of one video.
        width, height: (n,) of its frames, pixels.
        frames: (n,) how many frames it has to choose from.
        window: samples in a window.
        sample_rate: of all clips, Hz.
        too_short: how many clips of the split are left out.
        keys, labels: of the clips; empty without `texts`.

    Raises:
        DatasetMismatchError: when the dataset is not finished, or has no such split.
        ShardFormatError: when the index is damaged.
        PairError: when no clip is long enough, or the sample rates differ.
    """

    def __init__(self, root: Root, split: str, window_seconds: float, *, texts: bool = False) -> None:
        dataset, needed = Dataset(root), _NEEDED + (("key", "label") if texts else ())
        root, self.shards = dataset.store.url, dataset.of_split(split)
        self.root, self.split = root, split
        # Filled shard by shard: parts that are joined at the end are in memory twice.
        clips, frames = (sum(getattr(entry, name) for entry in self.shards) for name in ("clips", "frames"))
        try:
            arrays = {name: np.empty(clips, np.int64) for name in _OF_CLIPS}
            arrays |= {name: np.empty(frames, np.uint32) for name in _OF_FRAMES}
        except (MemoryError, ValueError) as error:  # a forged count, or more than fits
            text = f"the index {root}/{MANIFEST} names {clips} clips with {frames} frames, for which there is no memory"
            raise ShardFormatError(f"{text}; where it is damaged, write it again with: avcorr repair") from error
        ends, kept, rates = dict.fromkeys(arrays, 0), list[int](), set[int]()
        keys, labels = list[str](), list[str]()
        for entry, table in zip(self.shards, dataset.tables(self.shards, *needed), strict=True):
            part = _Part(root, entry, table, window_seconds, texts)
            for name, array in arrays.items():
                values = getattr(part, name)
                array[ends[name] : ends[name] + len(values)] = values
                ends[name] += len(values)
            kept.append(len(part.video))
            rates |= part.sample_rates
            keys += part.keys
            labels += part.labels
        if len(rates) != 1:
            raise PairError(f"{root}: clips with sample rates of {sorted(rates)} Hz cannot share a batch")
        self.sample_rate = rates.pop()
        self.window = round(window_seconds * self.sample_rate)
        self.too_short = clips - sum(kept)
        self.shard = np.repeat(np.arange(len(kept)), kept)
        self.keys, self.labels = tuple(keys), tuple(labels)
        filled = [array[: ends[name]] for name, array in arrays.items()]
        self.video, self.width, self.height, self.frames, self._sound, self._samples, self._mjpg = filled[:7]
        self._start, self._stop, self._time = filled[7:]
        self._first = np.cumsum(self.frames) - self.frames
        if not len(self):
            raise PairError(
                f"{root} has 0 clips of {window_seconds:g} s or more in {split!r} ({self.too_short} are shorter); "
                "lower pairs.window_seconds, or shard longer clips"
            )
        if self.too_short:
            logger.warning(
                "%d of %d clips are shorter than the window of %g s and are left out",
                self.too_short, self.too_short + len(self), window_seconds,
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.video)

    def times(self, clips: Ints, frames: Ints) -> NDArray[np.float64]:
        """Return the presentation times of frames, seconds from the time 0 of their clips."""
        seconds: NDArray[np.float64] = self._time[self._first[clips] + frames] / 1e6
        return seconds

    def times_of(self, clip: int) -> NDArray[np.float64]:
        """Return the times of all frames of a clip that can be chosen, seconds."""
        first = self._first[clip]
        return self._time[first : first + self.frames[clip]] / 1e6

    def seconds(self, clip: int) -> float:
        """Return how long the sound of a clip is."""
        return float(self._samples[clip] / self.sample_rate)

    def pictures(self, clips: Ints, frames: Ints) -> list[ByteRange]:
        """Return where the JPEGs of frames lie."""
        rows = self._first[clips] + frames
        starts = self._mjpg[clips] + self._start[rows]
        stops = self._mjpg[clips] + self._stop[rows]
        return self._ranges(clips, starts, stops)

    def centred(self, clips: Ints, frames: Ints) -> Ints:
        """Return the first samples of the windows of sound centred on frames."""
        middle = self.times(clips, frames) * self.sample_rate
        first = np.rint(middle - self.window / 2).astype(np.int64)
        starts: Ints = np.minimum(np.maximum(first, 0), self._samples[clips] - self.window)
        return starts

    def sounds(self, clips: Ints, starts: Ints, lengths: Ints) -> list[ByteRange]:
        """Return where stretches of sound lie, by their first samples and how many, for `sound_codec.decode`."""
        first, last = sound_codec.locate(starts, starts + lengths)
        return self._ranges(clips, self._sound[clips] + first, self._sound[clips] + last)

    def replace_clips(self, clips: Ints, bad: Collection[int]) -> Ints:
        """Return the clips with those of bad shards replaced by clips of the next shard that is not bad."""
        shards, counts = np.arange(len(self.shards)), np.bincount(self.shard, minlength=len(self.shards))
        first = np.cumsum(counts) - counts
        good = shards[~np.isin(shards, list(bad)) & (counts > 0)]
        owner = self.shard[clips]
        instead = good[np.searchsorted(good, owner) % len(good)]
        return np.where(owner == instead, clips, first[instead] + (clips - first[owner]) % counts[instead])

    def fingerprint(self) -> int:
        """Return a 63-bit number that differs when the clips, their order or their frames do."""
        digest = hashlib.blake2b(digest_size=8)
        for entry in self.shards:
            digest.update(f"{entry.path} {entry.clips_digest}\n".encode())
        digest.update(f"{self.window} {len(self)}".encode())
        return int.from_bytes(digest.digest()) >> 1

    def _ranges(self, clips: Ints, starts: Ints, stops: Ints) -> list[ByteRange]:
        paths = [self.shards[shard].path for shard in self.shard[clips].tolist()]
        return [ByteRange(*row) for row in zip(paths, starts.tolist(), stops.tolist(), strict=True)]


class _Part:
    """What one shard gives to the catalogue."""

    def __init__(self, root: str, entry: ShardEntry, table: Table, window_seconds: float, texts: bool) -> None:
        if (table["channels"] != 1).any():
            raise PairError(f"{root}/{entry.path} holds sound of two channels; pairs need shards of one")
        rates, samples, time = table["sample_rate"], table["sample_count"], table.frame_time
        owner = np.repeat(np.arange(table.clips), np.diff(table.frame_rows))
        half = 5e5 * window_seconds
        chosen = (time >= half) & (time <= 1e6 * samples[owner] / rates[owner] - half)
        frames = np.bincount(owner[chosen], minlength=table.clips)
        kept = np.flatnonzero(frames)
        start, stop = table.frame_edges
        self.sample_rates = set(rates.tolist())
        videos = table.texts("video")
        self.video = video_numbers([videos[row] for row in kept.tolist()])
        self.frames = frames[kept].astype(np.int64)
        self.width, self.height = (table[name][kept] for name in ("width", "height"))
        self.sound, self.mjpg = (table[f"{suffix}_offset"][kept] for suffix in (sound_codec.SUFFIX, "mjpg"))
        self.samples = samples[kept]
        self.start, self.stop = start[chosen].astype(np.uint32), stop[chosen].astype(np.uint32)
        self.time = time[chosen].astype(np.uint32)  # microseconds; clips are an hour at most
        keys, labels = (table.texts(name) if texts else [] for name in ("key", "label"))
        self.keys = [keys[row] for row in kept.tolist()] if texts else []
        self.labels = [labels[row] for row in kept.tolist()] if texts else []


def video_number(video: str) -> int:
    """Return a 63-bit number for a source video's name, the same in every process."""
    return int(video_numbers([video])[0])


def video_numbers(videos: Sequence[str]) -> Ints:
    """Return `video_number` of each (n,)."""
    digests = b"".join([hashlib.blake2b(video.encode(), digest_size=8).digest() for video in videos])
    return (np.frombuffer(digests, ">u8") >> np.uint64(1)).astype(np.int64)
