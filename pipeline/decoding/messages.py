"""Understand what ffmpeg prints: facts of the source, errors, and why it gave up."""

import re
import signal
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from ..errors import MediaError
from ..settings import ShardSettings
from .command import Plan
from .decoded import SoundFile, mono_mix, named_sound
from .gamut import HD_LINES, Gamut, gamut_of

_ENCRYPTED = re.compile(r"Stream #.*\((?:encv|enca) / ")
_STREAM = re.compile(r"Stream #([01]):(\d+)(?:\[\w+\])?(?:\((\w+)\))?: (Video|Audio): (.*)")
_GRID = re.compile(r"Stream group #0:(\d+)(?:\[\w+\])?(?:\((\w+)\))?: (Tile Grid): (.*\(default\))")
_TRANSPARENT = re.compile(r", (?:rgba|bgra|argb|abgr|pal8|ya|yuva|gbrap)")
_PICTURE = re.compile(r", (\w+)(?:\(([^()]*)\))?, (\d+)x(\d+)")
_FRAME_RATE = re.compile(r", ([\d.]+)(k?) fps")
_SAMPLE_RATE = re.compile(r", (\d+) Hz")
_LAYOUT = re.compile(r" Hz, ([^,]+)")
_COVER = re.compile(r"\((?:attached pic|timed thumbnails)\)")
_RANGES_AND_FIELDS = re.compile(r"tv|pc|progressive|(?:top|bottom) (?:coded )?first.*")
_INTERLACED = re.compile(r"\b(?:top|bottom) (?:coded )?first\b")
_CHANGED = re.compile(r"because (video|audio) parameters changed to (.*)")
_SIZE = re.compile(r", (\d+)x(\d+)")
_ERROR_LINE = re.compile(r"\[(?:error|fatal|panic)\]")
_EMPTY_OUTPUT = re.compile(r"\[out#(\d)/.*Nothing was written into output")
_BESIDE = "[info] Input #1, "
_NO_MEMORY = "Cannot allocate memory"
_HOPELESS = "Decode error rate"
_TIME_LINE = re.compile(rb"^frame:\d+\s+pts:(-?\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SourceStream:
    """A stream of the file as ffmpeg prints it."""

    number: int
    language: str
    kind: str
    text: str

    @property
    def is_cover(self) -> bool:
        """Whether it is a picture that players show beside a sound, or on a seek bar."""
        return bool(_COVER.search(self.text))

    @property
    def rank(self) -> tuple[bool, int]:
        """What players choose by: first what the file names as the default, then the most pixels or channels."""
        if self.kind == "Video":
            size = _PICTURE.search(self.text)
            return "(default)" in self.text, int(size[3]) * int(size[4]) if size else 0
        return "(default)" in self.text, channel_count(layout_of(self.text))


@dataclass(frozen=True, slots=True)
class Header:
    """What ffmpeg prints of a file before it decodes."""

    streams: tuple[SourceStream, ...]
    complete: bool
    """Whether all of it has been printed."""
    grid: SourceStream | None = None
    """The group of tiles that is the file's picture; only pictures of phones have one."""

    def of_kind(self, kind: str) -> list[SourceStream]:
        """Return the streams of one kind, "Video" or "Audio", that a player could choose from."""
        return [stream for stream in self.streams if stream.kind == kind and not stream.is_cover]

    def used(self, kind: str, number: int | None) -> str:
        """Return what is printed of the stream with a number, or of the first; "" where there is none."""
        streams = [stream for stream in self.of_kind(kind) if number in (None, stream.number)]
        return streams[0].text if streams else ""

    def choose(self, kind: str, without: Set[tuple[str, int]] = frozenset()) -> SourceStream | None:
        """Return the stream of one kind that players choose; of equal ones the first."""
        return max((stream for stream in self.of_kind(kind) if (kind, stream.number) not in without),
                   key=lambda stream: stream.rank, default=None)  # fmt: skip


def parse_header(messages: str) -> Header:
    """Return what the first messages of ffmpeg say of the file: of a file beside it, too, that has the sound."""
    before, end, _ = messages.partition("Stream mapping:")
    sound = "1" if _BESIDE in before else "0"
    streams = tuple(
        SourceStream(int(number), *rest)
        for file, number, *rest in _STREAM.findall(before)
        if file == {"Video": "0", "Audio": sound}[rest[1]]
    )
    grids = [SourceStream(int(number), *rest) for number, *rest in _GRID.findall(before)]
    return Header(streams, bool(end), grids[0] if grids else None)


def plan_for(
    header: Header, settings: ShardSettings, *, still: bool, without: frozenset[tuple[str, int]] = frozenset()
) -> Plan:
    """Return what a file needs beyond what every file needs.

    Args:
        header: of the file.
        settings: which sound is wanted.
        still: whether it is a file of a picture: its tiles are put together, what is transparent lies on white, and
            large pictures that do not tell their colours are not BT.709's, as those of videos are for players.
        without: kinds and numbers of streams that are known to be empty.

    Raises:
        MediaError: `no_audio` when the sound that the settings name is not there.
    """
    picture, sound = header.choose("Video", without), _choose_sound(header, settings.audio_stream, without)
    grid = header.grid if still else None
    shown = grid or picture
    text = shown.text if shown else ""
    colours = _Colours.of(text)
    return Plan(
        tags=colours.missing_tags(guess=not still), gamut=colours.gamut, interlaced=bool(_INTERLACED.search(text)),
        mix=mono_mix(layout_of(sound.text)) if sound else "", picture=_number(picture, header.of_kind("Video")),
        grid=grid.number if grid else None,
        transparent=still and bool(_TRANSPARENT.search(text)),
        sound=_number(sound, header.of_kind("Audio")), without=without,
    )  # fmt: skip


def _number(chosen: SourceStream | None, streams: list[SourceStream]) -> int | None:
    """Return the number of a stream that is not the first of its kind."""
    return None if chosen is None or chosen == streams[0] else chosen.number


def _choose_sound(header: Header, wanted: str, without: Set[tuple[str, int]]) -> SourceStream | None:
    sounds = header.of_kind("Audio")
    if wanted == "default" or not sounds:
        return header.choose("Audio", without)
    return sounds[named_sound([stream.language for stream in sounds], wanted)]


def layout_of(text: str) -> str:
    """Return what ffmpeg calls a stream's channels; "" where it does not say."""
    match = _LAYOUT.search(text)
    return match[1] if match else ""


def channel_count(layout: str) -> int:
    """Return how many channels a layout of ffmpeg's has."""
    named = {"mono": 1, "stereo": 2, "downmix": 2, "quad": 4, "hexagonal": 6, "octagonal": 8}
    name = layout.partition("(")[0].strip()
    numbers = [int(digits) for digits in re.findall(r"\d+", name)]
    if name.startswith("ambisonic"):
        return (numbers[0] + 1) ** 2
    return named.get(name, sum(numbers))


@dataclass(frozen=True, slots=True)
class _Colours:
    """What a stream declares: names of ITU-T H.273 as ffmpeg has them, "unknown" for none."""

    matrix: str = "unknown"
    primaries: str = "unknown"
    transfer: str = "unknown"
    is_yuv: bool = False
    lines: int = 0

    @classmethod
    def of(cls, text: str) -> "_Colours":
        match = _PICTURE.search(text)
        if match is None:
            return cls()
        words = [word for word in (match[2] or "").split(", ") if word and not _RANGES_AND_FIELDS.fullmatch(word)]
        names = words[0].split("/") if words else ["unknown"]
        matrix, primaries, transfer = names if len(names) == 3 else names[:1] * 3
        return cls(matrix, primaries, transfer, match[1].startswith(("yuv", "nv", "p0")), int(match[4]))

    @property
    def gamut(self) -> Gamut:
        return gamut_of(self.primaries, self.transfer)

    def missing_tags(self, *, guess: bool) -> str:
        """Return what is to be taken for the matrix where none is declared, as options of `setparams`."""
        if not self.is_yuv or self.matrix != "unknown":
            return ""
        if self.gamut:
            return "colorspace=bt2020nc"
        return "colorspace=bt709" if guess and self.lines >= HD_LINES else ""


def is_encrypted(messages: str) -> bool:
    """Return whether a stream's codec tag says that it is encrypted."""
    return bool(_ENCRYPTED.search(messages))


def has_errors(messages: str) -> bool:
    """Return whether ffmpeg reported an error, whatever its exit code."""
    return bool(_ERROR_LINE.search(messages))


def source_facts(messages: str, plan: Plan) -> dict[str, Any]:
    """Return what ffmpeg printed of the streams that it decoded, as fields of Decoded; 0 where it did not."""
    header = parse_header(messages)
    picture, sound = header.used("Video", plan.picture), header.used("Audio", plan.sound)
    size, rate, sound_rate = _PICTURE.search(picture), _FRAME_RATE.search(picture), _SAMPLE_RATE.search(sound)
    return {
        "source_width": int(size[3]) if size else 0,
        "source_height": int(size[4]) if size else 0,
        "source_frame_rate": float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0,
        "source_sample_rate": int(sound_rate[1]) if sound_rate else 0,
        "video_streams": len(header.of_kind("Video")),
        "audio_streams": len(header.of_kind("Audio")),
        "hdr": _Colours.of(picture).gamut in ("pq", "hlg"),
        "interlaced": bool(_INTERLACED.search(picture)),
    }


@dataclass(frozen=True, slots=True)
class Changes:
    """What became another in mid-file."""

    sound: bool
    picture: bool
    size: bool
    """Whether the picture's size did."""


def changes(messages: str, plan: Plan) -> Changes:
    """Return what ffmpeg said that it made its filters anew for."""
    found = _CHANGED.findall(messages)
    first = _PICTURE.search(parse_header(messages).used("Video", plan.picture))
    sizes = {match.groups() for kind, text in found if kind == "video" and (match := _SIZE.search(text))}
    kinds = {kind for kind, _ in found}
    return Changes("audio" in kinds, "video" in kinds, bool(sizes - ({first.groups()[2:]} if first else set())))


def next_plan(code: str, header: Header, plan: Plan, settings: ShardSettings, *, still: bool) -> Plan | None:
    """Return the plan with another stream in place of one that gave nothing; None where there is no other."""
    kinds = {"no_frames": ("Video", plan.picture), "no_samples": ("Audio", plan.sound)}
    kind, number = kinds.get(code, ("", None))
    empty = [(kind, stream.number) for stream in header.of_kind(kind) if number in (None, stream.number)][:1]
    without = plan.without | set(empty)
    if not empty or header.choose(kind, without) is None:
        return None
    return plan_for(header, settings, still=still, without=without)


def failure(exit_code: int, messages: str, beside: SoundFile | None) -> MediaError:
    """Return the error of an ffmpeg that ended with `exit_code` after these messages."""
    tail = last_lines(messages.encode())
    if exit_code < 0:
        code, what = "crashed", f"ffmpeg died ({signal.Signals(-exit_code).name})"
    elif is_encrypted(messages):
        code, what = "encrypted", "a stream is encrypted"
    elif "Input #0" not in messages:
        code, what = "not_media", "ffmpeg finds no container it knows, or a damaged one"
    elif beside and _BESIDE not in messages:
        code, what = "not_media", f"ffmpeg finds no container it knows in the sound's file {beside.path}"
    elif _NO_MEMORY in messages:
        code, what = "crashed", "ffmpeg asked for more memory than it may have"
    elif not parse_header(messages).of_kind("Video"):
        code, what = "no_video", "there is no video stream"
    elif not parse_header(messages).of_kind("Audio"):
        code, what = "no_audio", f"there is no audio stream{f' in {beside.path}' if beside else ''}"
    elif _HOPELESS in messages or not (empty := set(_EMPTY_OUTPUT.findall(messages))):
        code, what = "undecodable", "ffmpeg gave up"
    elif "0" in empty:
        code, what = "no_frames", "the video stream gave no frame in the wanted span"
    else:
        code, what = "no_samples", "the audio stream gave no sample in the wanted span"
    last = tail.rpartition("\n")[2]
    return MediaError(code, f"{what} (exit code {exit_code}: {last})", exit_code=exit_code, stderr=tail)


def last_lines(messages: bytes, count: int = 5) -> str:
    """Return the last lines that are more than information, each of at most 300 characters."""
    lines = [line for line in messages.decode(errors="replace").splitlines() if "[info]" not in line and line.strip()]
    return "\n".join(line[:300] for line in lines[-count:])


def parse_times(text: bytes) -> tuple[float, ...]:
    """Return the seconds in lines such as `frame:7 pts:1760000 pts_time:1.76`; pts counts microseconds (AVTB)."""
    return tuple(int(pts) / 1e6 for pts in _TIME_LINE.findall(text))


def parse_packets(text: bytes) -> list[tuple[int, int]]:
    """Return (time in samples, bytes) of each packet in lines such as `0, 160, 160, 1024, 2048, 0x1f2e3d4c`."""
    lines = (line.split(b",") for line in text.splitlines() if not line.startswith(b"#"))
    return [(int(words[2]), int(words[4])) for words in lines if len(words) > 4]
