"""Choose the decoder that the settings name: ffmpeg in its own process a clip, or PyAV in worker processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from avcorr.shards.format.clip import Clip

from ..settings import ShardSettings
from ..sources.source import Source
from .decode import read_clip
from .ffmpeg import Ffmpeg, find_ffmpeg, stop_all


class Decoder(Protocol):
    """Makes clips for many threads at once, and lets none of them be harmed by a file."""

    version: str
    """Version of what decodes: part of a dataset's identity."""

    def read(self, source: Source) -> Clip:
        """Return the clip of a source. Raises MediaError with the reason code for the ledger."""

    def stop(self) -> None:
        """Kill what runs now; those who wait for it get a MediaError."""

    def close(self) -> None:
        """Leave no process behind."""


@contextmanager
def stopped_on_error(decoder: Decoder) -> Iterator[None]:
    """Kill what a decoder does when the block ends with an error, so that nobody waits for it."""
    try:
        yield
    except BaseException:
        decoder.stop()
        raise


class _FfmpegDecoder:
    def __init__(self, settings: ShardSettings) -> None:
        self._settings = settings
        self._backend = Ffmpeg(find_ffmpeg(settings.ffmpeg))
        self.version = self._backend.version

    def read(self, source: Source) -> Clip:
        return read_clip(source, self._settings, self._backend)

    def stop(self) -> None:
        stop_all()

    def close(self) -> None:
        pass


def open_decoder(settings: ShardSettings) -> Decoder:
    """Return the decoder that `settings.decoder` names.

    Raises:
        DecoderError: when there is no ffmpeg that works, or the package av is not installed.
    """
    if settings.decoder == "pyav":
        from .workers import Workers

        return Workers(settings)
    return _FfmpegDecoder(settings)
