"""A clip's sound as the format stores it: 16-bit PCM behind a WAV header. Nobody else knows these bytes.

Another codec is other functions here. One without a fixed byte for each sample locates the whole member and cuts in
`decode`.
"""

import struct
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SUFFIX = "wav"
"""Of the member."""
WORDS = "16-bit mono PCM"
"""What it holds, for the dataset card."""
HEADER_BYTES = 44
"""Before the samples."""
_Place = TypeVar("_Place", int, NDArray[np.int64])


def encode(pcm: bytes, sample_rate: int, channels: int = 1) -> bytes:
    """Return the member of little-endian int16 samples; those of two channels alternate."""
    return _header(sample_rate, len(pcm) // (2 * channels), channels) + pcm


def locate(start: _Place, stop: _Place, channels: "int | _Place" = 1) -> tuple[_Place, _Place]:
    """Return which bytes [first, last) of the member hold the samples [start, stop) of all channels."""
    return HEADER_BYTES + 2 * channels * start, HEADER_BYTES + 2 * channels * stop


def decode(stored: bytes | memoryview, start: int, stop: int, channels: int = 1) -> NDArray[np.int16]:
    """Return the samples [start, stop), int16 ((stop - start) * channels,), from the bytes that `locate` names."""
    return np.frombuffer(stored, "<i2", channels * (stop - start))


def decode_member(member: bytes) -> NDArray[np.int16]:
    """Return all samples, int16 (N * channels,), without a copy."""
    return np.frombuffer(member, "<i2", offset=HEADER_BYTES)


def find_faults(head: bytes, size: int, sample_rate: int, sample_count: int, channels: int) -> Iterator[str]:
    """Yield what is wrong with a member of `size` bytes, of which `head` are the first HEADER_BYTES."""
    if head != _header(sample_rate, sample_count, channels):
        yield f"its WAV header is not the one of {sample_count} 16-bit samples at {sample_rate} Hz in {channels}"
    if size != (wanted := locate(0, sample_count, channels)[1]):
        yield f"its WAV has {size} bytes; {sample_count} samples need {wanted}"


def _header(sample_rate: int, sample_count: int, channels: int) -> bytes:
    """Return the canonical 44-byte RIFF header of 16-bit PCM (Microsoft RIFF, WAVE_FORMAT_PCM)."""
    frame = 2 * channels
    size = frame * sample_count
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, channels, sample_rate, frame * sample_rate, frame, 16, b"data",
        size,
    )  # fmt: skip
