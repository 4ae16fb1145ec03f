"""Read and decode what was asked for, and nothing else of a shard.

A shard is looked at before its first use: its size, and the two blocks of zeros at its end.
"""

from collections.abc import Iterator, Sequence
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
from avcorr.shards.format.jpeg import find_fault
from avcorr.shards.reader import check_shard
from avcorr.shards.store import ByteRange, Store

from .catalogue import Catalogue
from .jpegs import JpegFrames, place_crops
from .order import Ints
from .task import Request
from .views import BadFrameError, decode_frames, decode_sounds

MADE, DOING, CLIP = range(3)
"""What a worker notes, for whoever watches over it: the parts that it has made, what it does, and with which clip."""
READING, DECODING = 1, 2
OF_A_SHARD = (ShardFormatError, ShardTruncatedError, MissingObjectError, ObjectChangedError)
"""Errors that are of one shard, and not of the store."""


class BadShardError(Exception):
    """A shard, by its position in the catalogue's, that cannot be read as its index says, and what is wrong with it."""

    def __init__(self, shard: int, error: ShardError) -> None:
        super().__init__(shard)
        self.shard, self.error = shard, error


@contextmanager
def _reading(shard: int) -> Iterator[None]:
    """Blame a shard for an error that is of one."""
    try:
        yield
    except OF_A_SHARD as error:
        raise BadShardError(shard, error) from error


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
    """Reads and decodes moments of the clips of a catalogue; threads may share one, processes may not.

    Args:
        note: int64 (3,): where `DOING` and `CLIP` are noted.
    """

    def __init__(self, store: Store, catalogue: Catalogue, note: Ints | None = None) -> None:
        self._store, self.catalogue = store, catalogue
        self._note = np.zeros(3, np.int64) if note is None else note
        self._sound: set[int] = set()

    def locate(self, requests: Sequence[Request]) -> tuple[list[ByteRange], Ints]:
        """Return where the JPEGs of all requests lie, then their sounds, and the shard of each."""
        catalogue = self.catalogue
        ranges = [each for asked in requests for each in catalogue.pictures(asked.frame_clips, asked.frames)]
        for asked in requests:
            ranges += catalogue.sounds(asked.sound_clips, asked.starts, asked.lengths)
        clips = [*(asked.frame_clips for asked in requests), *(asked.sound_clips for asked in requests)]
        return ranges, catalogue.shard[np.concatenate(clips)]

    def read(self, requests: Sequence[Request], rows: tuple[list[ByteRange], Ints] | None = None) -> list[Fetched]:
        """Return the bytes of each request; the store is asked for all of them together. `rows` is from `locate`.

        Raises:
            BadShardError: when a shard is short, altered or gone.
            ShardError: when the store does not answer.
        """
        ranges, owners = rows or self.locate(requests)
        if self._store.is_local and ranges:  # from another, threads read ahead
            asked = (clips for request in requests for clips in (request.frame_clips, request.sound_clips))
            self._note[DOING], self._note[CLIP] = READING, next(clips for clips in asked if len(clips))[0]
        for shard in set(owners.tolist()) - self._sound:
            self.check(shard)
        try:
            data = iter(self._store.read_ranges(ranges))
        except OF_A_SHARD:
            for shard in np.unique(owners).tolist():
                with _reading(shard):
                    self._store.read_ranges([ranges[number] for number in np.flatnonzero(owners == shard)])
            raise  # of no shard alone
        jpegs = [list(islice(data, len(request.frames))) for request in requests]
        sounds = [list(islice(data, len(request.starts))) for request in requests]
        return [Fetched(*row) for row in zip(requests, jpegs, sounds, strict=True)]

    def look(self, fetched: Fetched) -> None:
        """Look at the headers of a request's frames, before anything decodes them.

        Raises:
            BadShardError: where one is not as the format and the index say.
        """
        catalogue, clips = self.catalogue, fetched.request.frame_clips
        rows = zip(fetched.jpegs, catalogue.width[clips].tolist(), catalogue.height[clips].tolist(), strict=True)
        for number, row in enumerate(rows):
            if fault := find_fault(*row):
                raise self._bad(clips[number], f"a stored frame {fault[1]}")

    def decode(self, fetched: Fetched, frames: NDArray[np.uint8], audio: NDArray[np.int16]) -> None:
        """Decode a request into frames (f, S, S, 3) and audio (s, N).

        Raises:
            BadShardError: where a stored frame cannot be decoded, or `look` refuses it.
            PairError: when a frame is smaller than the crop.
        """
        self.look(fetched)
        with self._decoding(fetched.request):
            decode_frames(self._each(fetched), fetched.request.crops, frames)
        decode_sounds(fetched.sounds, fetched.request.starts, fetched.request.lengths, audio)

    def place(self, fetched: Fetched, frame_size: int, audio: NDArray[np.int16]) -> JpegFrames:
        """Place the crops in the JPEGs of a request, and put its sounds into audio (s, N); raises as `decode`."""
        self.look(fetched)
        with self._decoding(fetched.request):
            placed = place_crops(list(self._each(fetched)), fetched.request.crops, frame_size)
        decode_sounds(fetched.sounds, fetched.request.starts, fetched.request.lengths, audio)
        return placed

    def check(self, shard: int) -> None:
        """Look at a shard, unless that was done before. Raises BadShardError."""
        if shard not in self._sound:
            with _reading(shard):
                check_shard(self._store, self.catalogue.shards[shard])
            self._sound.add(shard)

    def _bad(self, clip: int, what: str) -> BadShardError:
        shard = int(self.catalogue.shard[clip])
        text = f"{self.catalogue.shards[shard].path}: {what}; avcorr verify --full says where"
        return BadShardError(shard, ShardFormatError(text))

    def _each(self, fetched: Fetched) -> Iterator[bytes]:
        """Yield the JPEGs and note whose each is."""
        self._note[DOING] = DECODING
        for clip, jpeg in zip(fetched.request.frame_clips.tolist(), fetched.jpegs, strict=True):
            self._note[CLIP] = clip
            yield jpeg

    @contextmanager
    def _decoding(self, request: Request) -> Iterator[None]:
        """Blame a shard for a frame that cannot be decoded."""
        try:
            yield
        except BadFrameError as error:
            raise self._bad(request.frame_clips[error.number], f"a stored frame cannot be decoded ({error})") from error
