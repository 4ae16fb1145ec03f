"""Lay a stream's sound on the clip's clock: mono, resampled, sample 0 at the start of the span."""

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .decoded import SOUND_AROUND

if TYPE_CHECKING:
    import av


class Sound:
    """Takes decoded audio frames in order.

    libswresample's `async=1` does what it does in `command.py`: a late start is padded with silence, an early one
    trimmed, a gap of more than 0.1 s filled.

    Args:
        sample_rate: of the result, Hz.
        seek: start of the span in seconds.
        duration: its length in seconds.
        shift: what makes the stream's ticks count from the container's start.
    """

    def __init__(self, sample_rate: int, seek: float, duration: float, shift: int) -> None:
        self._rate, self._shift = sample_rate, shift
        self._first = round(seek * sample_rate)
        self._earliest, self._latest = seek - SOUND_AROUND[0], seek + duration + SOUND_AROUND[1]
        self._wanted = round(duration * sample_rate)
        self._parts: list[bytes] = []
        self._count = 0
        self._graph: Any = None
        self._shape: tuple[str, str, int] | None = None
        self._next: Fraction | None = None

    @property
    def done(self) -> bool:
        """Whether the span is full."""
        return self._count >= self._wanted

    def add(self, frame: "av.AudioFrame") -> None:
        """Take the next frame; one without a time follows the one before it, one with a false time is left out."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        base = frame.time_base or Fraction(1, frame.sample_rate)
        if frame.pts is not None:
            frame.pts += self._shift
        elif self._next is not None:
            frame.pts = round(self._next / base)
        else:
            frame.pts = 0
        if not self._earliest <= frame.pts * base <= self._latest:
            return
        self._next = frame.pts * base + Fraction(frame.samples, frame.sample_rate)
        if shape != self._shape:
            self.finish()
            self._graph, self._shape = self._open(shape, base), shape
        self._graph.push(frame)
        self._pull()

    def finish(self) -> None:
        """Take out what the resampler still holds."""
        if self._graph is not None:
            self._graph.push(None)
            self._pull()
            self._graph = None

    def pcm(self) -> bytes:
        """Return the samples as little-endian int16, at most those of the span."""
        return b"".join(self._parts)[: 2 * self._wanted]

    def _open(self, shape: tuple[str, str, int], base: Fraction) -> Any:
        import av

        graph = av.filter.Graph()
        source = graph.add(
            "abuffer", sample_fmt=shape[0], channel_layout=shape[1], sample_rate=str(shape[2]), time_base=str(base)
        )
        first = round(Fraction(self._first + self._count, self._rate) * shape[2])  # counts samples of the source
        resampler = graph.add("aresample", f"{self._rate}:async=1:first_pts={first}")
        mono = graph.add("aformat", sample_fmts="s16", channel_layouts="mono", sample_rates=str(self._rate))
        sink = graph.add("abuffersink")
        source.link_to(resampler)
        resampler.link_to(mono)
        mono.link_to(sink)
        graph.configure()
        return graph

    def _pull(self) -> None:
        import av

        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            self._parts.append(bytes(frame.planes[0])[: 2 * frame.samples])
            self._count += frame.samples
