"""A view: one frame of a clip and the window of sound centred on it. Choose views, and decode them.

    clip    |--------------------------------------------|   duration
    frames  |    |    |    |    |    |    |    |    |    |   at their true times
    window            [---------+---------]                  window_seconds, centred on the frame

Only frames whose window lies inside the sound can be chosen; nothing is padded or repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shards.clip import Clip, ClipMetadata

from .errors import PairError

RESIZE_MARGIN = 8 / 7
"""A frame is decoded at the smallest size that leaves this much room for the crop, as 256 does for 224."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The bytes of one frame and of its window of sound; they hold no more of the clip alive."""

    jpeg: bytes
    pcm: bytes
    """Little-endian int16."""
    video: int
    time: float
    """Presentation time of the frame in its clip, seconds."""


def eligible_frames(metadata: ClipMetadata, window_seconds: float) -> list[int]:
    """Return the numbers of the frames whose window of sound lies inside the clip."""
    half = window_seconds / 2
    last = metadata.duration - half
    return [number for number, time in enumerate(metadata.frame_times) if half <= time <= last]


def window(metadata: ClipMetadata, time: float, window_seconds: float) -> tuple[int, int]:
    """Return [start, stop) of the samples centred on `time`, always round(window_seconds * sample_rate) of them."""
    length = round(window_seconds * metadata.sample_rate)
    start = round((time - window_seconds / 2) * metadata.sample_rate)
    start = min(max(start, 0), metadata.sample_count - length)
    return start, start + length


def make_view(clip: Clip, frame: int, window_seconds: float, video: int) -> View:
    """Copy one view's bytes out of a clip."""
    time = clip.metadata.frame_times[frame]
    samples = clip.samples(*window(clip.metadata, time, window_seconds))
    return View(bytes(clip.frame(frame)), bytes(samples), video, time)


def decode_views(
    views: Sequence[View], frame_size: int, rng: np.random.Generator | None
) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Decode views into arrays.

    Args:
        views: B of them, all with equally long windows.
        frame_size: side S of the crop, pixels.
        rng: places each crop; None puts it in the centre.

    Returns:
        Frames uint8 (B, S, S, 3), RGB, and sound int16 (B, N).

    Raises:
        PairError: when a frame is smaller than the crop or no JPEG.
    """
    frames = np.empty((len(views), frame_size, frame_size, 3), np.uint8)
    for place, view in zip(frames, views, strict=True):
        image = decode_frame(view.jpeg, frame_size)
        height, width = image.shape[:2]
        if rng is None:
            top, left = (height - frame_size) // 2, (width - frame_size) // 2
        else:
            top, left = rng.integers(height - frame_size + 1), rng.integers(width - frame_size + 1)
        place[:] = image[top : top + frame_size, left : left + frame_size]
    audio = np.frombuffer(b"".join(view.pcm for view in views), "<i2").reshape(len(views), -1)
    return frames, audio.astype(np.int16)


def decode_frame(jpeg: bytes, frame_size: int) -> NDArray[Any]:
    """Decode a JPEG to uint8 (H, W, 3), RGB, by DCT scaling to the smallest size that holds the crop with a margin."""
    least = int(frame_size * RESIZE_MARGIN)
    try:
        image = simplejpeg.decode_jpeg(
            jpeg, "RGB", fastdct=True, fastupsample=True, min_height=least, min_width=least, min_factor=1
        )
    except ValueError as error:
        raise PairError(f"a stored frame is no JPEG ({error}); run.py verify --full finds the shard") from error
    if min(image.shape[:2]) < frame_size:
        raise PairError(
            f"frames of {image.shape[1]} x {image.shape[0]} pixels are smaller than pairs.frame_size = {frame_size}; "
            "lower it, or make shards with a larger shard.short_side"
        )
    decoded: NDArray[Any] = image
    return decoded
