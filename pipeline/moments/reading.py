"""Read what was asked for: the bytes of each frame and of each stretch of sound, and nothing else of a shard.

A shard is looked at before its first use: its size, and the two blocks of zeros at its end.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from avcorr.shards.errors import (
    MissingObjectError,
    ObjectChangedError,
    ShardError,
    ShardFormatError,
    ShardTruncatedError,
)
from avcorr.shards.reader import check_shard
from avcorr.shards.store import ByteRange, Store

from .catalogue import Catalogue
from .jpegs import JpegFrames, place_crops
from .order import Ints
from .task import Request
from .views import BadFrameError, decode_frames, decode_sounds

OF_A_SHARD = (ShardFormatError, ShardTruncatedError, MissingObjectError, ObjectChangedError)
"""Errors that are of one shard, and not of the store."""


class BadShardError(Exception):
    """One shard that cannot be read as its index says.

    Args:
        shard: its position in the catalogue's shards.
        error: what is wrong with it.
    """

    def __init__(self, shard: int, error: ShardError) -> None:
        super().__init__(shard)
        self.shard, self.error = shard, error


@contextmanager
def no_bad_shards() -> Iterator[None]:
    """Raise what is wrong with a bad shard itself, a ShardError."""
    try:
        yield
    except BadShardError as problem:
        raise problem.error from problem


class Fetched(NamedTuple):
    """The bytes of a request."""

    request: Request
    jpegs: list[bytes]
    sounds: list[bytes]


class Reader:
    """Reads and decodes moments of the clips of a catalogue; threads may share one, processes may not."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store, self.catalogue = store, catalogue
        self._sound: set[int] = set()

    def locate(self, requests: Sequence[Request]) -> tuple[list[ByteRange], Ints]:
        """Return where the JPEGs of all requests lie, then their sounds, and the shard of each."""
        catalogue = self.catalogue
        jpegs = [each for request in requests for each in catalogue.pictures(request.frame_clips, request.frames)]
        sounds = [
            each
            for request in requests
            for each in catalogue.sounds(request.sound_clips, request.starts, request.lengths)
        ]
        clips = [*(request.frame_clips for request in requests), *(request.sound_clips for request in requests)]
        return jpegs + sounds, catalogue.shard[np.concatenate(clips)]

    def read(self, requests: Sequence[Request], rows: tuple[list[ByteRange], Ints] | None = None) -> list[Fetched]:
        """Return the bytes of each request; the store is asked for all of them together.

        Args:
            requests: what to read.
            rows: where that lies, if known.

        Raises:
            BadShardError: when a shard is short, altered or gone.
            ShardError: when the store does not answer.
        """
        data = iter(self._read(*(rows or self.locate(requests))))
        jpegs = [list(islice(data, len(request.frames))) for request in requests]
        sounds = [list(islice(data, len(request.starts))) for request in requests]
        return [Fetched(*row) for row in zip(requests, jpegs, sounds, strict=True)]

    def decode(self, fetched: Fetched, frames: NDArray[np.uint8], audio: NDArray[np.int16]) -> None:
        """Decode a request into frames (f, S, S, 3) and audio (s, N).

        Raises:
            BadShardError: where a stored frame is no JPEG.
            PairError: when a frame is smaller than the crop.
        """
        with self._blamed(fetched.request):
            decode_frames(fetched.jpegs, fetched.request.crops, frames)
        decode_sounds(fetched.sounds, audio)

    def place(self, fetched: Fetched, frame_size: int, audio: NDArray[np.int16]) -> JpegFrames:
        """Place the crops in the JPEGs of a request, and put its sounds into audio (s, N).

        Raises:
            BadShardError, PairError: as `decode` does, for what the headers of the JPEGs tell.
        """
        with self._blamed(fetched.request):
            placed = place_crops(fetched.jpegs, fetched.request.crops, frame_size)
        decode_sounds(fetched.sounds, audio)
        return placed

    def check(self, shard: int) -> None:
        """Look at a shard, unless that was done before. Raises BadShardError."""
        if shard in self._sound:
            return
        try:
            check_shard(self._store, self.catalogue.shards[shard])
        except OF_A_SHARD as error:
            raise BadShardError(shard, error) from error
        self._sound.add(shard)

    @contextmanager
    def _blamed(self, request: Request) -> Iterator[None]:
        try:
            yield
        except BadFrameError as error:
            shard = int(self.catalogue.shard[request.frame_clips[error.number]])
            path = self.catalogue.shards[shard].path
            message = f"{path}: a stored frame is no JPEG ({error}); avcorr verify --full says where"
            raise BadShardError(shard, ShardFormatError(message)) from error

    def _read(self, ranges: list[ByteRange], owners: Ints) -> list[bytes]:
        for shard in set(owners.tolist()) - self._sound:
            self.check(shard)
        try:
            return self._store.read_ranges(ranges)
        except OF_A_SHARD as error:
            for shard in np.unique(owners).tolist():
                self._read_again([ranges[number] for number in np.flatnonzero(owners == shard)], shard)
            raise error  # of no shard alone

    def _read_again(self, ranges: Iterable[ByteRange], shard: int) -> None:
        try:
            self._store.read_ranges(list(ranges))
        except OF_A_SHARD as error:
            raise BadShardError(shard, error) from error
