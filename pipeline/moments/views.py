"""A view: one frame of a clip and the window of sound centred on it. Decode views into arrays.

    clip    |--------------------------------------------|   duration
    frames  |    |    |    |    |    |    |    |    |    |   at their true times
    window            [---------+---------]                  window_seconds, centred on the frame

Only frames whose window lies inside the sound can be chosen; nothing is padded or repeated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from .turbojpeg import decode_crops, place_crop

RESIZE_MARGIN = 8 / 7
"""A frame is decoded at the smallest size that leaves this much room for the crop, as 256 does for 224."""


def decode_frames(
    jpegs: Sequence[bytes], crops: NDArray[np.float64], out: NDArray[np.uint8], *, crop_only: bool = False
) -> None:
    """Decode JPEGs and crop them.

    Args:
        jpegs: B of them.
        crops: (B, 2) in [0, 1): where each crop lies in what is free, from the top and the left; 0.5 is the centre.
        out: (B, S, S, 3), RGB, contiguous: where to put them.
        crop_only: decode only what the crops need, to the same result; for that TurboJPEG 3 must be there.

    Raises:
        ValueError: when one is no JPEG; its second argument is the number of it.
        PairError: when a frame is smaller than the crop.
    """
    size = out.shape[1]
    if crop_only:
        decode_crops(jpegs, crops, out, least_side(size))
        return
    for number, (jpeg, (down, right)) in enumerate(zip(jpegs, crops.tolist(), strict=True)):
        try:
            image = _decode(jpeg, size)
        except ValueError as error:
            raise ValueError(str(error), number) from error
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


def decode_sounds(windows: Sequence[bytes], out: NDArray[np.int16]) -> None:
    """Put B equally long windows of little-endian int16 into an array (B, N)."""
    out[:] = np.frombuffer(b"".join(windows), "<i2").reshape(out.shape)
