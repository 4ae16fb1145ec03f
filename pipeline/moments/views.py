"""A view: one frame of a clip and the window of sound centred on it. Decode views into arrays.

    clip    |--------------------------------------------|   duration
    frames  |    |    |    |    |    |    |    |    |    |   at their true times
    window            [---------+---------]                  window_seconds, centred on the frame

Only frames whose window lies inside the sound can be chosen; nothing is padded or repeated.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from avcorr.shards.format.sound_codec import decode

from ..errors import PairError
from .order import Ints

RESIZE_MARGIN = 8 / 7
"""A frame is decoded at the smallest size that leaves this much room for the crop, as 256 does for 224."""


class BadFrameError(ValueError):
    """A stored frame that is no JPEG; `number` counts among those that were to be decoded."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def decode_frames(jpegs: Iterable[bytes], crops: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    """Decode JPEGs and crop them.

    Args:
        jpegs: B of them.
        crops: (B, 2) in [0, 1): where each crop lies in what is free, from the top and the left; 0.5 is the centre.
        out: (B, S, S, 3), RGB, contiguous: where to put them.

    Raises:
        BadFrameError: when one is no JPEG.
        PairError: when a frame is smaller than the crop.
    """
    size = out.shape[1]
    for number, (jpeg, (down, right)) in enumerate(zip(jpegs, crops.tolist(), strict=True)):
        try:
            image = _decode(jpeg, size)
        except ValueError as error:
            raise BadFrameError(number, str(error)) from error
        height, width = image.shape[:2]
        top, left = place_crop(height, width, size, down, right)
        out[number] = image[top : top + size, left : left + size]


def decode_frame(jpeg: bytes, frame_size: int) -> NDArray[Any]:
    """Decode a JPEG to uint8 (H, W, 3), RGB, by DCT scaling to the smallest size that holds the crop with a margin.

    Raises:
        ValueError: when it is no JPEG.
        PairError: when it is smaller than the crop.
    """
    image = _decode(jpeg, frame_size)
    height, width = image.shape[:2]
    place_crop(height, width, frame_size, 0, 0)
    return image


def least_side(frame_size: int) -> int:
    """Return the least height and width at which a frame is decoded for a crop of so many pixels."""
    return int(frame_size * RESIZE_MARGIN)


def _decode(jpeg: bytes, frame_size: int) -> NDArray[Any]:
    least = least_side(frame_size)
    image: NDArray[Any] = simplejpeg.decode_jpeg(
        jpeg, "RGB", fastdct=True, fastupsample=True, min_height=least, min_width=least, min_factor=1
    )
    return image


def place_crop(height: int, width: int, size: int, down: float, right: float) -> tuple[int, int]:
    """Return top and left of a square crop; `down` and `right` in [0, 1) say where in what is free.

    Raises:
        PairError: when the frame is smaller than the crop.
    """
    if min(height, width) < size:
        raise PairError(
            f"frames of {width} x {height} pixels are smaller than pairs.frame_size = {size}; "
            "lower it, or make shards with a larger shard.short_side"
        )
    return int(down * (height - size + 1)), int(right * (width - size + 1))


def decode_sounds(sounds: Sequence[bytes], starts: Ints, lengths: Ints, out: NDArray[np.int16]) -> None:
    """Put B stored sounds of samples [start, start + length) into an array (B, N); zeros follow shorter ones."""
    for row, stored, start, length in zip(out, sounds, starts.tolist(), lengths.tolist(), strict=True):
        row[:length] = decode(stored, start, start + length)
        row[length:] = 0
