"""Read what was drawn: the bytes of each frame and of each window of sound, and nothing else of a shard.

A shard is looked at before its first use: its size, and the two blocks of zeros at its end. One that is short, altered
or gone ends the reading with an error that names it. Where the settings allow some such shards (`max_bad_shards`), it
is passed over instead: in place of its clips come those of the next sound shard, and it is counted.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from threading import Lock
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from avcorr.shards.errors import (
    MissingObjectError,
    ObjectChangedError,
    ShardError,
    ShardFormatError,
    ShardTruncatedError,
)
from avcorr.shards.format.tar import BLOCK
from avcorr.shards.index.manifest import ShardEntry
from avcorr.shards.store import ByteRange, Store

from ..correspondence.draw import Draws, draw
from ..settings import PairSettings
from .catalogue import Catalogue
from .jpegs import Placed, place_crops
from .order import Ints, Order
from .stages import Meter
from .views import decode_frames, decode_sounds

logger = logging.getLogger(__name__)
_Frames = TypeVar("_Frames")

OF_A_SHARD = (ShardFormatError, ShardTruncatedError, MissingObjectError, ObjectChangedError)
"""Errors that are of one shard, and not of the store."""


class Place(NamedTuple):
    """Pairs [start, stop) of one cell of a batch."""

    step: int
    cell: int
    start: int
    stop: int


def check_shard(store: Store, entry: ShardEntry) -> None:
    """Check that a shard is there, has its size, and ends in two blocks of zeros. Raises ShardError."""
    where, size = f"{store.url}/{entry.path}", store.size(entry.path)
    if size != entry.bytes:
        raise ShardTruncatedError(f"{where} has {size} bytes; its index says {entry.bytes}: copy or make it again")
    (end,) = store.read_ranges([ByteRange(entry.path, size - 2 * BLOCK, size)])
    if any(end):
        raise ShardTruncatedError(f"{where} does not end in two blocks of zeros: copy or make it again")


def no_jpeg(entry: ShardEntry, error: ValueError) -> ShardFormatError:
    """Return the error that says which shard holds a frame that cannot be decoded."""
    return ShardFormatError(
        f"{entry.path}: a stored frame is no JPEG ({error.args[0]}); avcorr verify --full says where"
    )


class Fetched(NamedTuple):
    """The bytes of the pairs of a place."""

    place: Place
    draws: Draws
    jpegs: list[bytes]
    sounds: list[bytes]


class Reader:
    """Draws and reads pairs by their places; threads may share one, processes may not.

    Args:
        meter: counts what it does.

    Attributes:
        bad: paths of the shards that were passed over, with what was wrong.
    """

    def __init__(self, store: Store, catalogue: Catalogue, order: Order, settings: PairSettings, meter: Meter) -> None:
        self._store, self._catalogue, self._order, self._settings = store, catalogue, order, settings
        self._meter = meter
        self._sound: set[int] = set()
        self._bad: set[int] = set()
        self._lock = Lock()
        self.bad: dict[str, str] = {}

    def fetch(self, places: Sequence[Place]) -> list[Fetched]:
        """Return the bytes of each place's pairs; the store is asked for all of them together.

        Raises:
            ShardError: when more than `max_bad_shards` shards are short, altered or gone, or the store does not answer.
        """
        while True:
            with self._meter.measure("draw"):
                draws = [self._draw(place) for place in places]
                ranges, owners = self._ranges(draws)
            try:
                with self._meter.measure("read"):
                    data = iter(self._read(ranges, owners))
            except _BadShardError as problem:
                self._pass_over(problem)
            else:
                jpegs = [list(islice(data, len(cell.clips))) for cell in draws]
                sounds = [list(islice(data, len(cell.clips))) for cell in draws]
                return [Fetched(*row) for row in zip(places, draws, jpegs, sounds, strict=True)]

    def decode(self, fetched: Fetched, frames: NDArray[np.uint8], audio: NDArray[np.int16]) -> Draws:
        """Decode the pairs of a place into frames (B, S, S, 3) and audio (B, N), and return their draws.

        Raises:
            ShardError: as `fetch` does, where a stored frame is no JPEG.
            PairError: when a frame is smaller than the crop.
        """
        crop_only = self._settings.decode == "crop"
        return self._take(
            fetched, audio, lambda good: decode_frames(good.jpegs, good.draws.crops, frames, crop_only=crop_only)
        )[0]

    def place(self, fetched: Fetched, audio: NDArray[np.int16]) -> tuple[Draws, Placed]:
        """Place the crops of the pairs of a place in their JPEGs, and put the sounds into audio (B, N).

        Raises:
            ShardError, PairError: as `decode` does, for what the headers of the JPEGs tell.
        """
        size = self._settings.frame_size
        return self._take(fetched, audio, lambda good: place_crops(good.jpegs, good.draws.crops, size))

    def _take(
        self, fetched: Fetched, audio: NDArray[np.int16], make_frames: Callable[[Fetched], _Frames]
    ) -> tuple[Draws, _Frames]:
        """Return the draws and what their JPEGs become; other pairs in place of those of a bad shard."""
        try:
            with self._meter.measure("decode"):
                frames = make_frames(fetched)
                decode_sounds(fetched.sounds, audio)
        except ValueError as error:
            self._meter.count_error()
            shard = int(self._catalogue.shard[fetched.draws.clips[error.args[1]]])
            self._pass_over(_BadShardError(shard, no_jpeg(self._catalogue.shards[shard], error)))
            (again,) = self.fetch([fetched.place])
            return self._take(again, audio, make_frames)
        return fetched.draws, frames

    def _draw(self, place: Place) -> Draws:
        visits = self._order.visits(place.step, place.cell)
        if self._bad:
            visits = visits._replace(clips=self._catalogue.replace_clips(visits.clips, self._bad))
        draws = draw(visits, self._catalogue, self._settings, seed=self._order.seed, rounds=self._order.rounds)
        return draws.part(place.start, place.stop)

    def _ranges(self, draws: Sequence[Draws]) -> tuple[list[ByteRange], Ints]:
        """Return where the JPEGs of all cells lie, then their windows of sound, and the shard of each."""
        pictures = [part for cell in draws for part in self._catalogue.pictures(cell.clips, cell.frames)]
        sounds = [part for cell in draws for part in self._catalogue.sounds(cell.sound_clips, cell.sound_frames)]
        clips = np.concatenate([*(cell.clips for cell in draws), *(cell.sound_clips for cell in draws)])
        return pictures + sounds, self._catalogue.shard[clips]

    def _read(self, ranges: list[ByteRange], owners: Ints) -> list[bytes]:
        for shard in set(owners.tolist()) - self._sound:
            self._look_at(shard)
        try:
            return self._store.read_ranges(ranges)
        except OF_A_SHARD as error:
            for shard in np.unique(owners).tolist():
                self._read_again([ranges[number] for number in np.flatnonzero(owners == shard)], shard)
            raise error  # of no shard alone

    def _look_at(self, shard: int) -> None:
        try:
            check_shard(self._store, self._catalogue.shards[shard])
        except OF_A_SHARD as error:
            raise _BadShardError(shard, error) from error
        self._sound.add(shard)

    def _read_again(self, ranges: Iterable[ByteRange], shard: int) -> None:
        try:
            self._store.read_ranges(list(ranges))
        except OF_A_SHARD as error:
            raise _BadShardError(shard, error) from error

    def _pass_over(self, problem: "_BadShardError") -> None:
        """Replace a shard's clips from now on, or raise what is wrong with it."""
        path, allowed = self._catalogue.shards[problem.shard].path, self._settings.max_bad_shards
        with self._lock:
            self._bad |= {problem.shard}  # a new set: another thread may be reading the old one
            if len(self._bad) > allowed or len(self._bad) == len(self._catalogue.shards):
                raise problem.error
            if path not in self.bad:
                self.bad = {**self.bad, path: str(problem.error)}
                logger.warning("passed over, %d of at most %d: %s", len(self._bad), allowed, problem.error)


class _BadShardError(Exception):
    def __init__(self, shard: int, error: ShardError) -> None:
        super().__init__(shard)
        self.shard, self.error = shard, error
