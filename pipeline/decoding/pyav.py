"""Decode in this process with FFmpeg's libraries through PyAV: the rules of `command.py`, without starting a program.

Native code on hostile files may crash or hang; `workers.py` runs this in processes that may. Nothing else calls it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DecoderError, MediaError
from ..settings import ShardSettings
from .choice import MICROSECOND, Choice, Clock, rescale
from .decoded import BESIDE_EARLY, FORMATS, JUMP_SECONDS, MAX_PIXELS, Decoded, SoundFile, named_sound
from .pictures import HDR_TRANSFERS, Pictures
from .seeking import NO_INDEX, seek, seek_to_key
from .sound import Sound

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.stream import Stream

_Kind = TypeVar("_Kind", bound="Stream")
_SLACK = 10_000_000
"""Microseconds past the span after which reading stops, though one stream gave nothing that ends it."""
_COVERS = 0x400 | 0x800  # AV_DISPOSITION_ATTACHED_PIC, AV_DISPOSITION_TIMED_THUMBNAILS
_DEFAULT = 0x1  # AV_DISPOSITION_DEFAULT
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

    def decode(
        self,
        path: str,
        settings: ShardSettings,
        *,
        seek: float = 0.0,
        duration: float,
        beside: SoundFile | None = None,
    ) -> Decoded:
        """Decode [seek, seek + duration) seconds of a video, with the sound of a file beside it where one is given.

        Raises:
            MediaError: with the code `not_media`, `no_video`, `no_audio`, `encrypted` or `undecodable`.
        """
        spare, without = not settings.skip_nonref, frozenset[tuple[str, int]]()
        while True:
            try:
                return self._decode(path, settings, seek, duration, spare, without, beside)
            except _NotSureError:
                spare = False
            except _EmptyStreamError as empty:
                without |= {empty.place}

    def _decode(
        self,
        path: str,
        settings: ShardSettings,
        seek: float,
        duration: float,
        spare: bool,
        without: frozenset[tuple[str, int]] = frozenset(),
        beside: SoundFile | None = None,
    ) -> Decoded:
        av = self._av
        av.logging.set_level(av.logging.ERROR)
        with av.logging.Capture() as messages, ExitStack() as opened:
            containers: list[InputContainer] = []
            for place in (path, beside.path) if beside else (path,):
                try:
                    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
                    container = av.open(f"file:{place}", options=options, metadata_errors="ignore")
                except (av.FFmpegError, ValueError, OSError) as error:
                    where = f" in the sound's file {place}" if containers else ""
                    raise MediaError("not_media", f"no container that FFmpeg knows{where}, or a damaged one ({error})",
                                     stderr=_tail(messages)) from error  # fmt: skip
                containers.append(opened.enter_context(container))
            try:
                at = seek - beside.offset if beside else seek
                return _Span(containers, settings, seek, at, duration, spare, without).decode(messages)
            except (av.FFmpegError, ValueError) as error:
                message = f"FFmpeg's libraries gave up ({error})"
                raise MediaError("undecodable", message, stderr=_tail(messages)) from error


class _NotSureError(Exception):
    """Frames were spared, and it cannot be told that the chosen ones are right: the file is damaged or odd."""


class _EmptyStreamError(Exception):
    """A stream gave nothing, and there is another of its kind."""

    def __init__(self, place: tuple[str, int]) -> None:
        super().__init__(place)
        self.place = place


class _Span:
    """One span of one video, on a clock of microseconds that begins where its container does.

    Args:
        containers: the open video, and the file beside it that has the sound, if there is one.
        settings: how the clip is made.
        seek: start of the span in seconds.
        sound_seek: the same on the clock of what has the sound; before 0 where that begins later.
        duration: its length in seconds.
        spare: whether frames that are not stored and not referred to are left undecoded.
        without: kinds and numbers of streams that are known to be empty.
    """

    def __init__(
        self,
        containers: "Sequence[InputContainer]",
        settings: ShardSettings,
        seek: float,
        sound_seek: float,
        duration: float,
        spare: bool,
        without: frozenset[tuple[str, int]],
    ) -> None:
        self._container, self._heard, self._settings = containers[0], containers[-1], settings
        self._seek, self._sound_seek, self._duration, self._without = seek, sound_seek, duration, without
        self._video, self._audio = self._streams()
        used = (self._video, self._audio)
        self._origin = _origin(self._container, used if len(containers) == 1 else used[:1])
        self._sound_origin = self._origin if len(containers) == 1 else _origin(self._heard, used[1:])
        base, shift = self._video.time_base or MICROSECOND, _shift(self._video, self._origin)
        clock = Clock(base, shift, settings.frames_per_second, seek, duration)
        self._pictures = Pictures(self._video, settings, clock)
        self._choice = Choice(clock) if spare and self._video.codec_context.name == "h264" else None
        self._sound = Sound(
            self._audio, settings.sample_rate, sound_seek, duration, _shift(self._audio, self._sound_origin),
            trimmed=self._heard.format.name.startswith("mov"),
        )  # fmt: skip
        self._failed, self._decoded = {0: 0, 1: 0}, {0: 0, 1: 0}
        self._await_key = False

    def _streams(self) -> "tuple[av.VideoStream, av.AudioStream]":
        video = _best(stream for stream in self._pictures_of_file() if _place(stream) not in self._without)
        audio = self._choose_sound()
        if video is None:
            raise MediaError("no_video", "there is no video stream")
        if audio is None:
            raise MediaError("no_audio", "there is no audio stream")
        for stream, tag in ((video, "encv"), (audio, "enca")):
            if stream.codec_context is None:
                raise MediaError("undecodable", f"FFmpeg's libraries lack the codec of stream {stream.index}")
            if _tag(stream) == tag:
                raise MediaError("encrypted", f"stream {stream.index} is encrypted")
            stream.codec_context.thread_count = 1
        video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        if self._settings.skip_nonref:
            video.codec_context.skip_frame = "NONREF"
        return video, audio

    def _pictures_of_file(self) -> "list[av.VideoStream]":
        """Return the streams of pictures that a player could choose from."""
        return [stream for stream in self._container.streams.video if not int(stream.disposition) & _COVERS]

    def _choose_sound(self) -> "av.AudioStream | None":
        sounds, wanted = self._heard.streams.audio, self._settings.audio_stream
        if wanted == "default" or not sounds:
            return _best(stream for stream in sounds if _place(stream) not in self._without)
        return sounds[named_sound([stream.language or "" for stream in sounds], wanted)]

    def decode(self, messages: list[tuple[int, str, str]]) -> Decoded:
        """Read packets until both streams have passed the span; return what lies in it."""
        if self._seek:
            target = round(self._seek * 1e6) + self._origin
            self._await_key = seek_to_key(self._container, self._video, self._origin, target)
        if self._heard is not self._container and self._sound_seek > 0:
            seek(self._heard, max(0, round((self._sound_seek - BESIDE_EARLY) * 1e6)) + self._sound_origin)
        for packet in self._packets():
            part = self._pictures if packet.stream is self._video else self._sound
            if not part.done:
                self._add(packet, part)
        source_times = self._source_times(messages)
        for which, part in ((0, self._pictures), (1, self._sound)):
            if self._failed[which] > _MAX_ERROR_RATE * max(1, self._failed[which] + self._decoded[which]):
                raise MediaError("undecodable", f"most of the {('video', 'audio')[which]} stream cannot be decoded",
                                 stderr=_tail(messages))  # fmt: skip
            part.finish()
        video = self._video
        chosen = ((video, self._pictures_of_file(), bool(self._pictures.jpegs)),
                  (self._audio, self._heard.streams.audio, bool(self._sound.pcm())))  # fmt: skip
        for stream, streams, gave in chosen:
            if not gave and any(_place(other) not in {_place(stream), *self._without} for other in streams):
                raise _EmptyStreamError(_place(stream))
        return Decoded(
            jpegs=tuple(self._pictures.jpegs), frame_times=tuple(self._pictures.times),
            source_times=source_times, pcm=self._sound.pcm(),
            damaged=bool(messages) or any(self._failed.values()) or self._pictures.corrupt,
            source_width=video.width or 0, source_height=video.height or 0,
            source_frame_rate=round(float(video.average_rate or 0), 2), source_sample_rate=self._audio.rate or 0,
            video_streams=len(self._pictures_of_file()),
            audio_streams=len(self._heard.streams.audio), hdr=video.codec_context.color_trc in HDR_TRANSFERS,
            interlaced=self._pictures.interlaced, anew=self._pictures.anew,
            changed=self._pictures.changed or self._sound.changed or self._pictures.anew,
        )  # fmt: skip

    def _source_times(self, messages: list[tuple[int, str, str]]) -> tuple[float, ...]:
        """Return the times of all frames of the span. Raises _NotSureError where frames must not have been spared."""
        given = self._pictures.source_times
        if self._choice is None or not self._choice.any:
            return tuple(given)
        if (
            messages
            or self._failed[0]
            or self._pictures.corrupt
            or self._pictures.interlaced
            or self._pictures.anew
            or not self._choice.holds(self._pictures.times)
        ):
            raise _NotSureError
        return tuple(sorted({*given, *self._choice.spared}))

    def _packets(self) -> "Iterator[av.Packet[Any]]":
        import av

        def end(stream: "Stream", seek: float, origin: int) -> int:
            microseconds = round((seek + self._duration) * 1e6) + origin + _SLACK
            return rescale(microseconds, MICROSECOND, stream.time_base or MICROSECOND)

        video, audio = self._video, self._audio
        ends = {video: end(video, self._seek, self._origin), audio: end(audio, self._sound_seek, self._sound_origin)}
        parts: dict[Stream, Pictures | Sound] = {video: self._pictures, audio: self._sound}
        apart = self._heard is not self._container
        jump, last = round(JUMP_SECONDS / (video.time_base or MICROSECOND)), None
        for container, streams in (
            ((self._container, (video,)), (self._heard, (audio,))) if apart else ((self._container, (video, audio)),)
        ):
            packets = container.demux(*streams)
            while not all(parts[stream].done for stream in streams):
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except av.FFmpegError:  # a damaged end
                    self._pictures.corrupt = True
                    break
                if packet.dts is not None and packet.dts > ends[packet.stream]:
                    yield from map(_last_packet, streams)
                    break
                if packet.stream is video and packet.dts is not None and not self._pictures.done:
                    if last is not None and packet.dts < last - jump:
                        yield _last_packet(video)
                        self._pictures.anew = self._pictures.done = True
                    last = packet.dts
                yield packet

    def _add(self, packet: "av.Packet[Any]", part: Pictures | Sound) -> None:
        import av

        which = 0 if part is self._pictures else 1
        if which == 0 and self._await_key and packet.size:
            if not packet.is_keyframe:
                return
            self._await_key = False
        if which == 0 and self._choice:
            self._video.codec_context.skip_frame = "DEFAULT" if self._choice.needs(packet) else "NONREF"
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._failed[which] += 1
            return
        for frame in frames:
            self._decoded[which] += 1
            part.add(frame)  # type: ignore[arg-type]  # the stream's own kind of frame


def _last_packet(stream: "Stream") -> "av.Packet[Any]":
    """Return the empty packet that makes a decoder give the frames that it holds back."""
    import av

    packet: av.Packet[Any] = av.Packet()
    packet.stream = stream
    return packet


def _best(streams: "Iterable[_Kind]") -> "_Kind | None":
    """Return what players choose: first what the file names as the default, then the most pixels or channels."""

    def rank(stream: "_Kind") -> tuple[bool, int]:
        context = stream.codec_context
        size = getattr(context, "channels", 0) or getattr(context, "width", 0) * getattr(context, "height", 0)
        return bool(int(stream.disposition) & _DEFAULT), size

    return max(streams, key=rank, default=None)


def _place(stream: "Stream") -> tuple[str, int]:
    """Return kind and number of a stream: two files may have the same numbers."""
    return stream.type, stream.index


def _shift(stream: "Stream", origin: int) -> int:
    """Return what to add to a stream's ticks so that they count from the container's start in microseconds."""
    return rescale(-origin, MICROSECOND, stream.time_base or MICROSECOND)


def _origin(container: "InputContainer", used: "Sequence[Stream]") -> int:
    """Return the container's start in microseconds: in a stream of packets (MPEG-TS), that of the streams used."""
    start = container.start_time or 0
    if container.format.flags & NO_INDEX:
        starts = [
            rescale(stream.start_time, stream.time_base, MICROSECOND)
            for stream in used
            if stream.start_time is not None and stream.time_base is not None
        ]
        start = max(start, min(starts, default=start))
    return start


def _tag(stream: "Stream") -> str:
    """Return a stream's four characters, "" where they are none: PyAV cannot give AAC's in an AVI."""
    try:
        return str(stream.codec_context.codec_tag)
    except UnicodeDecodeError:
        return ""


def _tail(messages: list[tuple[int, str, str]]) -> str:
    return "\n".join(f"[{name}] {text.strip()}"[:300] for _, name, text in messages[-5:])
