"""Lay a stream's sound on the clip's clock: mono, resampled, sample 0 at the start of the span."""

from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from .decoded import SOUND_AROUND

if TYPE_CHECKING:
    import av


_GATHERED = 8192
"""Samples that go through the filter graph at once. It costs more for each frame than for its samples."""


class Sound:
    """Takes decoded audio frames in order.

    libswresample's `async=1` does what it does in `command.py`: a late start is padded with silence, an early one
    trimmed, a gap of more than 0.1 s filled.

    Args:
        stream: where they come from.
        sample_rate: of the result, Hz.
        seek: start of the span in seconds.
        duration: its length in seconds.
        shift: what makes the stream's ticks count from the container's start.
    """

    def __init__(self, stream: "av.AudioStream", sample_rate: int, seek: float, duration: float, shift: int) -> None:
        self._rate, self._shift = sample_rate, shift
        self._base = base = stream.time_base or Fraction(1, stream.rate or sample_rate)
        self._first = round(seek * sample_rate)
        self._earliest, self._latest = (
            ceil(Fraction(seek - SOUND_AROUND[0]) / base),
            floor(Fraction(seek + duration + SOUND_AROUND[1]) / base),
        )
        self._end = ceil(Fraction(seek + duration) / base)
        self._ticks = Fraction(1)
        self._wanted = round(duration * sample_rate)
        self._parts: list[bytes] = []
        self._count = 0
        self._fifo: Any = None
        self._begin = 0
        self._graph: Any = None
        self._source: Any = None
        self._sink: Any = None
        self._shape: tuple[str, str, int] | None = None
        self._next = 0
        """Where the next frame begins, in ticks multiplied by the denominator of `_ticks`."""

    @property
    def done(self) -> bool:
        """Whether the span is full."""
        return self._count >= self._wanted

    def add(self, frame: "av.AudioFrame") -> None:
        """Take the next frame; one without a time follows the one before it, one with a false time is left out."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        whole = self._ticks.denominator
        begin = frame.pts + self._shift if frame.pts is not None else round(Fraction(self._next, whole))
        if not self._earliest <= begin <= self._latest:
            return
        if shape != self._shape:
            self.finish()
            self._open(shape)
            whole = self._ticks.denominator
        elif abs(begin * whole - self._next) >= whole:  # a gap, or what lies before the end of the frame before
            self._pass_on()
        if not self._fifo.samples:
            self._begin = begin
        frame.pts = None
        self._fifo.write(frame)  # copies: the decoder may write into a frame again when the next one is damaged
        self._next = begin * whole + frame.samples * self._ticks.numerator
        if self._fifo.samples >= _GATHERED or self._next >= self._end * whole:
            self._pass_on()

    def finish(self) -> None:
        """Take out what is held back."""
        if self._graph is not None:
            self._pass_on()
            self._source.push(None)
            self._pull()
            self._graph = None

    def pcm(self) -> bytes:
        """Return the samples as little-endian int16, at most those of the span."""
        return b"".join(self._parts)[: 2 * self._wanted]

    def _open(self, shape: tuple[str, str, int]) -> None:
        import av

        self._shape, self._ticks, self._fifo = shape, 1 / (shape[2] * self._base), av.AudioFifo()
        graph = av.filter.Graph()
        source = graph.add(
            "abuffer",
            sample_fmt=shape[0],
            channel_layout=shape[1],
            sample_rate=str(shape[2]),
            time_base=str(self._base),
        )
        first = round(Fraction(self._first + self._count, self._rate) * shape[2])  # counts samples of the source
        resampler = graph.add("aresample", f"{self._rate}:async=1:first_pts={first}")
        mono = graph.add("aformat", sample_fmts="s16", channel_layouts="mono", sample_rates=str(self._rate))
        sink = graph.add("abuffersink")
        for one, other in pairwise((source, resampler, mono, sink)):
            one.link_to(other)
        graph.configure()
        self._graph, self._source, self._sink = graph, source, sink

    def _pass_on(self) -> None:
        """Resample what was gathered."""
        frame = self._fifo.read()
        if frame is not None:
            frame.pts, frame.time_base = self._begin, self._base
            self._source.push(frame)
            self._pull()

    def _pull(self) -> None:
        import av

        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._parts.append(bytes(frame.planes[0])[: 2 * frame.samples])
            self._count += frame.samples
