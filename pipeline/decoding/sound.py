"""Lay a stream's sound on the clip's clock: mono, resampled, sample 0 at the start of the span."""

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from .decoded import SOUND_AROUND, mono_mix

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
        trimmed: whether the container says where the sound ends and the codec may have padded it, as in an MP4;
            ffmpeg 9 cuts that off, the libraries do not.
    """

    def __init__(
        self,
        stream: "av.AudioStream",
        sample_rate: int,
        seek: float,
        duration: float,
        shift: int,
        *,
        trimmed: bool = False,
    ) -> None:
        self._rate, self._shift = sample_rate, shift
        self._base = base = stream.time_base or Fraction(1, stream.rate or sample_rate)
        self._first = round(seek * sample_rate)
        self._earliest, self._latest = (
            ceil(Fraction(seek - SOUND_AROUND[0]) / base),
            floor(Fraction(seek + duration + SOUND_AROUND[1]) / base),
        )
        self._end = ceil(Fraction(seek + duration) / base) + (base > Fraction(1, stream.rate or sample_rate))
        """Where the span ends in ticks; where a tick is longer than a sample, its times are rounded: one tick later."""
        self._ticks = Fraction(1)
        self._wanted = round(duration * sample_rate)
        self._stream_end = stream.duration + shift if trimmed and stream.duration else None
        self._tail: tuple[av.AudioFrame, int] | None = None
        self._over = False
        self._parts: list[bytes] = []
        self._count = 0
        self._fifo: Any = None
        self._begin = 0
        self._graph: Any = None
        self._source: Any = None
        self._sink: Any = None
        self._shape: tuple[str, str, int] | None = None
        self.changed = False
        """Whether rate, layout or kind of sample became others in mid-stream."""
        self._next = 0
        """Where the next frame begins, in ticks multiplied by the denominator of `_ticks`."""

    @property
    def done(self) -> bool:
        """Whether the span is full."""
        return self._over or self._count >= self._wanted

    def add(self, frame: "av.AudioFrame") -> None:
        """Take the next frame; one without a time follows the one before it, one with a false time is left out."""
        self._take_tail(whole=True)
        begin = (
            frame.pts + self._shift if frame.pts is not None else round(Fraction(self._next, self._ticks.denominator))
        )
        if not self._earliest <= begin <= self._latest:
            return
        if begin >= self._end:
            self._over = True
            return
        end = begin + frame.samples / (frame.sample_rate * self._base)
        if self._stream_end is not None and begin < self._stream_end < end:
            self._tail = frame, begin
            return
        self._take(frame, begin, self._end)

    def _take_tail(self, *, whole: bool) -> None:
        """Take the frame in which the container says that the stream ends; where others follow it says nothing."""
        if self._tail is not None and self._stream_end is not None:
            (frame, begin), self._tail = self._tail, None
            self._take(frame, begin, self._end if whole else min(self._end, self._stream_end))

    def _take(self, frame: "av.AudioFrame", begin: int, end: int) -> None:
        """Lay a frame's samples down to the tick `end`."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        whole = self._ticks.denominator
        if shape != self._shape:
            self.changed = self._shape is not None
            self._close()
            self._open(shape)
            whole = self._ticks.denominator
        elif abs(begin * whole - self._next) >= whole:  # a gap, or what lies before the end of the frame before
            self._pass_on()
        if not self._fifo.samples:
            self._begin = begin
        frame.pts = None
        count = frame.samples
        self._fifo.write(frame)  # copies: the decoder may write into a frame again when the next one is damaged
        self._next = begin * whole + count * self._ticks.numerator
        surplus = floor((self._next - end * whole) / self._ticks.numerator)
        if self._fifo.samples >= _GATHERED or surplus >= 0:
            self._pass_on(surplus=min(max(surplus, 0), count))

    def finish(self) -> None:
        """Take out what is held back."""
        self._take_tail(whole=False)
        self._close()

    def _close(self) -> None:
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
        mix = mono_mix(shape[1])
        mixer = (graph.add("pan", mix),) if mix else ()
        resampler = graph.add("aresample", f"{self._rate}:async=1:first_pts={first}")
        mono = graph.add("aformat", sample_fmts="s16", channel_layouts="mono", sample_rates=str(self._rate))
        sink = graph.add("abuffersink")
        graph.link_nodes(source, *mixer, resampler, mono, sink).configure()
        self._graph, self._source, self._sink = graph, source, sink

    def _pass_on(self, surplus: int = 0) -> None:
        """Resample what was gathered, but for as many samples at its end."""
        frame = self._fifo.read(self._fifo.samples - surplus) if self._fifo.samples > surplus else None
        if frame is not None:
            frame.pts, frame.time_base = self._begin, self._base
            self._source.push(frame)
            self._pull()
        if surplus:
            self._fifo.read()

    def _pull(self) -> None:
        import av

        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._parts.append(bytes(frame.planes[0])[: 2 * frame.samples])
            self._count += frame.samples
