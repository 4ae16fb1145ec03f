"""Choose frames by their times, scale them and encode them as JPEGs, upright and with square pixels."""

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg

from ..errors import MediaError
from ..settings import ShardSettings
from .choice import Clock
from .gamut import HD_LINES, Gamut, gamut_of, table_filter

if TYPE_CHECKING:
    import av

_SCALING = 0x20 | 0x40000 | 0x4000 | 0x2000  # SWS_AREA, ACCURATE_RND, FULL_CHR_H_INP, FULL_CHR_H_INT
_UNSPECIFIED = 2  # of ITU-T H.273's matrices
_PRIMARIES = {9: "bt2020"}
HDR_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
"""ITU-T H.273's numbers by ffmpeg's names, those that matter."""

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
        self._base = base
        self._fields: Fields | None = None
        self._size = self._coded = (0, 0)
        self._colours = Colours()
        self.changed = False
        """Whether a frame has another size than the first."""
        self.anew = False
        """Whether the clock begins anew behind the frames that were taken."""
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
        if self._clock.seek <= time < self._clock.end:
            self.corrupt |= bool(frame.is_corrupt)
            self.source_times.append(time)
        if frame.interlaced_frame and self._fields is None and not self.source_times[1:]:
            self._fields = Fields(frame, self._base)
        if self._fields is None:
            self._choose(frame, time)
            return
        frame.pts = ticks
        for whole in self._fields.add(frame):
            self._choose(whole, self._clock.seconds(whole.pts or 0))

    def finish(self) -> None:
        """Take out what is held back."""
        if self._fields is not None:
            for whole in self._fields.add(None):
                self._choose(whole, self._clock.seconds(whole.pts or 0))

    @property
    def interlaced(self) -> bool:
        """Whether the source is interlaced."""
        return self._fields is not None

    def _choose(self, frame: "av.VideoFrame", time: float) -> None:
        if time >= self._clock.end:
            self.done = True
        elif time >= self._clock.seek:
            interval = self._clock.interval(time)
            if self._interval is None or interval > self._interval:
                self._interval = interval
                self.times.append(time)
                self.jpegs.append(self._encode(frame))

    def _encode(self, frame: "av.VideoFrame") -> bytes:
        turn, flip = orientation(frame)
        width, height = frame.width * self._aspect, Fraction(frame.height)
        if turn % 2:
            width, height = height, width
        if not self.jpegs:
            self._size, self._coded = shown_size(width, height, self._short_side), (frame.width, frame.height)
        size = self._size
        if (frame.width, frame.height) != self._coded:
            self.changed = True
            size = fitted_size(width, height, self._size)
        across, down = size[::-1] if turn % 2 else size
        planes = []
        for plane in self._colours.convert(frame, across, down).planes:
            rows: Plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            pixels = rows[: plane.height, : plane.width]
            if turn or flip:
                pixels = np.rot90(pixels[::-1] if flip else pixels, turn)
            planes.append(np.ascontiguousarray(pixels))
        if size != self._size:
            planes = [_pad(plane, self._size, black) for plane, black in zip(planes, (0, 128, 128), strict=True)]
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=self._quality)
        return jpeg


class Fields:
    """Makes whole frames of interlaced ones, which it holds back until it has seen the next.

    Args:
        frame: the first one.
        base: seconds of a tick of the frames' times.
    """

    def __init__(self, frame: "av.VideoFrame", base: Fraction) -> None:
        import av

        self._graph = av.filter.Graph()
        self._source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=base
        )
        deinterlacer = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        clock = self._graph.add("settb", f"{base.numerator}/{base.denominator}")  # bwdif halves it
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, deinterlacer, clock, self._sink).configure()

    def add(self, frame: "av.VideoFrame | None") -> "Iterator[av.VideoFrame]":
        """Take the next frame, None after the last; yield those that are whole."""
        import av

        self._source.push(frame)
        while True:
            try:
                yield self._sink.pull()  # type: ignore[misc]  # of a graph of pictures
            except (av.BlockingIOError, av.EOFError):
                return


class Colours:
    """Scales frames, and maps their colours to those of a JPEG: the rules of `gamut.py`."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._shape: tuple[Any, ...] | None = None

    def convert(self, frame: "av.VideoFrame", width: int, height: int) -> "av.VideoFrame":
        """Return a frame of yuvj420p of this size."""
        gamut = gamut_of(_PRIMARIES.get(frame.color_primaries, ""), HDR_TRANSFERS.get(frame.color_trc, ""))
        unsaid = frame.colorspace == _UNSPECIFIED and frame.format.name.startswith(("yuv", "nv", "p0"))
        matrix = "ITU709" if unsaid and frame.height >= HD_LINES else None
        if gamut:
            frame = self._map(frame, gamut, width, height)
            matrix = None
        return frame.reformat(
            width, height, "yuvj420p", src_colorspace=matrix, dst_colorspace="ITU601", dst_color_range="JPEG",
            interpolation=_SCALING, threads=1,
        )  # fmt: skip

    def _map(self, frame: "av.VideoFrame", gamut: Gamut, width: int, height: int) -> "av.VideoFrame":
        import av

        shape = (
            frame.format.name,
            frame.width,
            frame.height,
            frame.colorspace,
            frame.color_range,
            gamut,
            width,
            height,
        )
        if shape != self._shape:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1_000_000)
            )
            scale = graph.add("scale", f"{width}:{height}:flags=area")
            rgb = graph.add("format", "gbrp16le")
            table = graph.add("lut3d", table_filter(gamut, in_graph=False))
            sink = graph.add("buffersink")
            graph.link_nodes(source, scale, rgb, table, sink).configure()
            self._shape, self._graph = shape, (graph, source, sink)  # PyAV frees a graph that nobody holds
        _, source, sink = self._graph
        source.push(frame)
        mapped: av.VideoFrame = sink.pull()
        return mapped


def _pad(plane: Plane, size: tuple[int, int], black: int) -> Plane:
    """Return a plane in the middle of black bars; `size` is that of the picture, (width, height)."""
    scale = 1 if black == 0 else 2
    across, down = (-(-side // scale) for side in size)
    left, top = (across - plane.shape[1]) // 2, (down - plane.shape[0]) // 2
    padded = np.full((down, across), black, np.uint8)
    padded[top : top + plane.shape[0], left : left + plane.shape[1]] = plane
    return padded


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


def fitted_size(width: Fraction, height: Fraction, frame: tuple[int, int]) -> tuple[int, int]:
    """Return the largest even size with the shape of a picture of this shown size that fits into a frame."""
    if not width or not height:
        raise MediaError("undecodable", "the picture has no size")
    if width * frame[1] >= height * frame[0]:
        return frame[0], 2 * _round(frame[0] * height / width / 2)
    return 2 * _round(frame[1] * width / height / 2), frame[1]


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG. Raises MediaError when it is none."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise MediaError("undecodable", f"ffmpeg wrote a frame that is no JPEG ({error})") from error
    return width, height


def jpeg_quality(quantiser: int) -> int:
    """Return libjpeg's quality that is about as fine as ffmpeg's MJPEG quantiser: 2 is 92, 3 is 87, 31 is 19."""
    percent = 8.5 * quantiser
    return round(100 - percent / 2) if percent <= 100 else round(5000 / percent)


def _round(value: Fraction) -> int:
    """Round to the nearest, halves away from 0, as ffmpeg does."""
    return floor(value + Fraction(1, 2)) if value >= 0 else -floor(-value + Fraction(1, 2))
