"""Choose frames by their times, scale them and encode them as JPEGs, upright and with square pixels."""

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg

from ..errors import MediaError
from ..settings import ShardSettings
from .choice import Clock

if TYPE_CHECKING:
    import av

Plane = np.ndarray[Any, np.dtype[np.uint8]]


class Pictures:
    """Takes decoded video frames in order; keeps the first in each interval of 1 / frames_per_second.

    Args:
        stream: where they come from.
        settings: rate, size and quality.
        clock: of the stream and the span.
    """

    def __init__(self, stream: "av.VideoStream", settings: ShardSettings, clock: Clock) -> None:
        base = stream.time_base or Fraction(1, 1_000_000)
        self._aspect = stream.sample_aspect_ratio or Fraction(1)
        self._step = round(1 / (stream.average_rate or 25) / base)
        self._clock, self._short_side = clock, settings.short_side
        self._quality = jpeg_quality(settings.jpeg_quality)
        self._interval: int | None = None
        self._next = -clock.shift
        self._size = (0, 0)
        self.jpegs: list[bytes] = []
        self.times: list[float] = []
        self.source_times: list[float] = []
        self.done = False
        self.corrupt = False

    def add(self, frame: "av.VideoFrame") -> None:
        """Take the next frame; one without a time follows the one before it."""
        ticks = frame.pts if frame.pts is not None else frame.dts
        if ticks is None:
            ticks = self._next
        self._next = ticks + self._step
        time = self._clock.seconds(ticks)
        if time >= self._clock.end:
            self.done = True
        elif time >= self._clock.seek:
            self.corrupt |= bool(frame.is_corrupt)
            self.source_times.append(time)
            interval = self._clock.interval(time)
            if self._interval is None or interval > self._interval:
                self._interval = interval
                self.times.append(time)
                self.jpegs.append(self._encode(frame))

    def finish(self) -> None:
        """Nothing is held back."""

    def _encode(self, frame: "av.VideoFrame") -> bytes:
        turn, flip = orientation(frame)
        if not self.jpegs:
            width, height = frame.width * self._aspect, Fraction(frame.height)
            if turn % 2:
                width, height = height, width
            self._size = shown_size(width, height, self._short_side)
        across, down = self._size[::-1] if turn % 2 else self._size
        scaled = frame.reformat(across, down, "yuvj420p", interpolation="AREA", dst_color_range="JPEG", threads=1)
        planes = []
        for plane in scaled.planes:
            rows: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            pixels = rows[: plane.height, : plane.width]
            if turn or flip:
                pixels = np.rot90(pixels[::-1] if flip else pixels, turn)
            planes.append(np.ascontiguousarray(pixels))
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=self._quality)
        return jpeg


def orientation(frame: "av.VideoFrame") -> tuple[int, bool]:
    """Return how to show a frame: quarter turns counter-clockwise, after a flip upside down where True.

    The display matrix maps the decoded picture's (x, y) to the shown one's: a, b in its first row, c, d in the
    second (ISO/IEC 14496-12, 8.2.2). Other angles than quarter turns are taken for none.
    """
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return 0, False
    matrix = np.frombuffer(bytes(side_data), "<i4").reshape(3, 3)[:2, :2] / 65536
    for flip in (False, True):
        for turn in range(4):
            if np.allclose(matrix, _MATRICES[turn, flip], atol=0.01):
                return turn, flip
    return 0, False


_QUARTER = np.array([[0, -1], [1, 0]])
_MATRICES = {
    (turn, flip): (np.diag([1, -1]) if flip else np.eye(2)) @ np.linalg.matrix_power(_QUARTER, turn)
    for turn in range(4)
    for flip in (False, True)
}


def shown_size(width: Fraction, height: Fraction, side: int) -> tuple[int, int]:
    """Return the stored size of a picture of this shown size: the short side as wanted, the other even."""
    if not width or not height:
        raise MediaError("undecodable", "the picture has no size")
    if width >= height:
        return 2 * _round(side * width / height / 2), side
    return side, 2 * _round(side * height / width / 2)


def jpeg_quality(quantiser: int) -> int:
    """Return libjpeg's quality that is about as fine as ffmpeg's MJPEG quantiser: 2 is 92, 3 is 87, 31 is 19."""
    percent = 8.5 * quantiser
    return round(100 - percent / 2) if percent <= 100 else round(5000 / percent)


def _round(value: Fraction) -> int:
    """Round to the nearest, halves away from 0, as ffmpeg does."""
    return floor(value + Fraction(1, 2)) if value >= 0 else -floor(-value + Fraction(1, 2))
