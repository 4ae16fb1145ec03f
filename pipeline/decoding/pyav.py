"""Decode in this process with FFmpeg's libraries through PyAV: the rules of `command.py`, without starting a program.

Native code on hostile files may crash or hang; `workers.py` runs this in processes that may. Nothing else calls it.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import DecoderError, MediaError
from ..settings import ShardSettings
from .decoded import FORMATS, MAX_PIXELS, Decoded
from .pictures import Pictures
from .sound import Sound

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.stream import Stream

_MICROSECOND = Fraction(1, 1_000_000)
_SEEK_EARLY = 130_000
"""Microseconds: what ffmpeg takes off a seek where frames are reordered."""
_SLACK = 10_000_000
"""Microseconds past the span after which reading stops, though one stream gave nothing that ends it."""
_MAX_ERROR_RATE = 2 / 3
"""Share of packets with errors at which a stream counts as undecodable, as in ffmpeg."""


class Pyav:
    """The backend that decodes in this process. Raises DecoderError when the package av is not installed."""

    def __init__(self) -> None:
        try:
            import av
        except ImportError as error:
            raise DecoderError("shard.decoder pyav needs the package av: pip install av") from error
        self._av = av

    @cached_property
    def version(self) -> str:
        """Versions of PyAV and of the libavcodec that it carries."""
        codec = ".".join(str(number) for number in self._av.library_versions["libavcodec"])
        return f"PyAV {self._av.__version__}, libavcodec {codec}"

    def decode(self, path: str, settings: ShardSettings, *, seek: float = 0.0, duration: float) -> Decoded:
        """Decode [seek, seek + duration) seconds of a video.

        Raises:
            MediaError: with the code `not_media`, `no_video`, `no_audio`, `encrypted` or `undecodable`.
        """
        av = self._av
        av.logging.set_level(av.logging.ERROR)
        with av.logging.Capture() as messages:
            try:
                options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
                container = av.open(f"file:{path}", options=options, metadata_errors="ignore")
            except (av.FFmpegError, ValueError, OSError) as error:
                raise MediaError("not_media", f"no container that FFmpeg knows, or a damaged one ({error})",
                                 stderr=_tail(messages)) from error  # fmt: skip
            with container:
                try:
                    return _Span(container, settings, seek, duration).decode(messages)
                except (av.FFmpegError, ValueError) as error:
                    message = f"FFmpeg's libraries gave up ({error})"
                    raise MediaError("undecodable", message, stderr=_tail(messages)) from error


class _Span:
    """One span of one open container, on a clock of microseconds that begins where the container does."""

    def __init__(self, container: "InputContainer", settings: ShardSettings, seek: float, duration: float) -> None:
        self._container, self._settings = container, settings
        self._seek, self._duration = seek, duration
        self._video, self._audio = self._streams()
        self._origin = _origin(container, (self._video, self._audio))
        self._pictures = Pictures(self._video, settings, seek, duration, self._shift(self._video))
        self._sound = Sound(settings.sample_rate, seek, duration, self._shift(self._audio))
        self._failed, self._decoded = {0: 0, 1: 0}, {0: 0, 1: 0}

    def _streams(self) -> "tuple[av.VideoStream, av.AudioStream]":
        streams = self._container.streams
        cover = 0x400  # AV_DISPOSITION_ATTACHED_PIC
        video = next((stream for stream in streams.video if not int(stream.disposition) & cover), None)
        audio = next(iter(streams.audio), None)
        if video is None:
            raise MediaError("no_video", "there is no video stream")
        if audio is None:
            raise MediaError("no_audio", "there is no audio stream")
        for stream, tag in ((video, "encv"), (audio, "enca")):
            if stream.codec_context is None:
                raise MediaError("undecodable", f"FFmpeg's libraries lack the codec of stream {stream.index}")
            if stream.codec_context.codec_tag == tag:
                raise MediaError("encrypted", f"stream {stream.index} is encrypted")
            stream.codec_context.thread_count = 1
        video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        if self._settings.skip_nonref:
            video.codec_context.skip_frame = "NONREF"
        return video, audio

    def _shift(self, stream: "Stream") -> int:
        """Return what to add to a stream's ticks so that they count from the container's start."""
        return rescale(-self._origin, _MICROSECOND, stream.time_base or _MICROSECOND)

    def decode(self, messages: list[tuple[int, str, str]]) -> Decoded:
        """Read packets until both streams have passed the span; return what lies in it."""
        if self._seek:
            self._go_to(round(self._seek * 1e6) + self._origin)
        for packet in self._packets():
            part = self._pictures if packet.stream is self._video else self._sound
            if not part.done:
                self._add(packet, part)
        for which, part in ((0, self._pictures), (1, self._sound)):
            if self._failed[which] > _MAX_ERROR_RATE * max(1, self._failed[which] + self._decoded[which]):
                raise MediaError("undecodable", f"most of the {('video', 'audio')[which]} stream cannot be decoded",
                                 stderr=_tail(messages))  # fmt: skip
            part.finish()
        video = self._video
        return Decoded(
            jpegs=tuple(self._pictures.jpegs), frame_times=tuple(self._pictures.times),
            source_times=tuple(self._pictures.source_times), pcm=self._sound.pcm(),
            damaged=bool(messages) or any(self._failed.values()) or self._pictures.corrupt,
            source_width=video.width or 0, source_height=video.height or 0,
            source_frame_rate=round(float(video.average_rate or 0), 2), source_sample_rate=self._audio.rate or 0,
        )  # fmt: skip

    def _go_to(self, target: int) -> None:
        import av

        try:
            self._container.seek(max(self._origin, target - _SEEK_EARLY), backward=True)
        except av.FFmpegError:
            pass  # what cannot be sought is read from its beginning

    def _packets(self) -> "Iterator[av.Packet[Any]]":
        import av

        end = round((self._seek + self._duration) * 1e6) + self._origin + _SLACK
        packets = self._container.demux(self._video, self._audio)
        while not (self._pictures.done and self._sound.done):
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:  # a damaged end
                self._pictures.corrupt = True
                return
            if packet.dts is not None and rescale(packet.dts, packet.time_base or _MICROSECOND, _MICROSECOND) > end:
                return
            yield packet

    def _add(self, packet: "av.Packet[Any]", part: Pictures | Sound) -> None:
        import av

        which = 0 if part is self._pictures else 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._failed[which] += 1
            return
        for frame in frames:
            self._decoded[which] += 1
            part.add(frame)  # type: ignore[arg-type]  # the stream's own kind of frame


def _origin(container: "InputContainer", used: "tuple[Stream, Stream]") -> int:
    """Return the container's start in microseconds: in a stream of packets (MPEG-TS), that of the streams used."""
    start = container.start_time or 0
    if container.format.flags & 0x0200:  # AVFMT_TS_DISCONT
        starts = [
            rescale(stream.start_time, stream.time_base, _MICROSECOND)
            for stream in used
            if stream.start_time is not None and stream.time_base is not None
        ]
        start = max(start, min(starts, default=start))
    return start


def rescale(ticks: int, old: Fraction, new: Fraction) -> int:
    """Return ticks of another time base, to the nearest, halves away from 0, as av_rescale_q does."""
    numerator, denominator = abs(ticks) * old.numerator * new.denominator, old.denominator * new.numerator
    value = (2 * numerator + denominator) // (2 * denominator)
    return value if ticks >= 0 else -value


def _tail(messages: list[tuple[int, str, str]]) -> str:
    return "\n".join(f"[{name}] {text.strip()}"[:300] for _, name, text in messages[-5:])
