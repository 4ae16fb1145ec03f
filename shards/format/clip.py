"""One clip as the format stores it: its metadata, its sound as WAV and its frames as JPEGs back to back."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from ..errors import ShardFormatError
from . import jpeg, sound_codec

FORMAT_VERSION = 1
MEMBERS = ("json", sound_codec.SUFFIX, "mjpg")
"""Suffixes of a clip's members, in the order in which they lie in the tar."""

KEY_PATTERN = re.compile(r"[a-z][A-Za-z0-9_-]{1,79}")
FLAGS = ("still", "silent", "clipped", "short", "uneven", "changed", "damaged")
"""What can be wrong with a clip that was packed all the same."""
CLIPPED_SHARE = 0.001
"""A larger share of samples at full scale makes the flag `clipped`."""
UNEVEN_SECONDS = 0.5
"""A larger difference between the lengths of picture and sound makes the flag `uneven`."""
MOST_METADATA_BYTES = 1 << 24
"""Of `<key>.json`."""
MOST_LABELS = 4096

_MOST = 2**30
_MOST_SECONDS = 4200.0
"""An hour, which is the longest clip, and something; in microseconds below 2^32."""


def _known_format(version: int) -> int:
    if version != FORMAT_VERSION:
        raise ValueError(f"this program reads format {FORMAT_VERSION}")
    return version


def _not_int(value: object) -> object:
    """Refuse an int for a float: loaders that infer a schema need the same type in all clips."""
    if isinstance(value, int):
        raise ValueError("Input should have a decimal point")
    return value


Real = Annotated[float, BeforeValidator(_not_int), Field(allow_inf_nan=False)]
Natural = Annotated[int, Field(ge=0, le=_MOST)]
Side = Annotated[int, Field(ge=1, le=65500)]
"""As libjpeg takes it; both together make at most `jpeg.MOST_PIXELS`."""
Seconds = Annotated[Real, Field(ge=-_MOST_SECONDS, le=_MOST_SECONDS)]
Text = Annotated[str, Field(max_length=4096)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipMetadata:
    """What `<key>.json` holds: every field in every clip, with one type, never null and never an empty list.

    `from_json` is the one gate for them: who reads a clip and `verify` hold it against the types alike.
    Times are seconds from the clip's own time 0, which is also where its audio sample 0 lies.
    """

    format: Annotated[int, AfterValidator(_known_format)]
    key: Text
    video: Text
    """Identity of the source video; clips of one video share it. Splits never share a video."""
    source: Text
    """The path as it was given, relative to the source folder."""
    label: Text
    """Class name, the first of `labels`; "" where unknown."""
    labels: Annotated[list[Text], Field(min_length=1, max_length=MOST_LABELS)]
    """All class names; [""] where none is known."""
    caption: Annotated[str, Field(max_length=65536)]
    """What the clip shows in words; "" where unknown."""
    split: Text
    start: Annotated[Real, Field(ge=0, le=_MOST)]
    """Where the clip begins in its source video, in seconds."""
    duration: Annotated[Seconds, Field(gt=0)]
    """Length of the stored sound in seconds."""
    frame_times: Annotated[list[Seconds], Field(min_length=1)]
    """Presentation time of each frame in seconds, strictly increasing, rounded to a microsecond."""
    frame_offsets: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)]
    """Frame i is the bytes [frame_offsets[i], frame_offsets[i + 1]) of `<key>.mjpg`: one more than frames."""
    width: Side
    height: Side
    sample_rate: Annotated[int, Field(ge=1, le=655350)]
    """As high as FLAC takes it."""
    channels: Annotated[int, Field(ge=1, le=2)]
    """1 or 2; the samples of two channels alternate, left first."""
    sample_count: Annotated[int, Field(ge=1, le=(2**32 - 37) // 4)]
    """Samples of each channel; a WAV of two holds no more."""
    source_width: Natural
    """Coded width of the source in pixels; 0 where ffmpeg did not say."""
    source_height: Natural
    source_frame_rate: Annotated[Real, Field(ge=0, le=_MOST)]
    """Average frame rate that the container claims, in frames per second; 0.0 where it claims none."""
    source_sample_rate: Natural
    video_streams: Natural
    """Video streams of the source, cover pictures left out; 0 where the decoder did not say."""
    audio_streams: Natural
    hdr: bool
    """Whether the source declares a transfer of high dynamic range (PQ or HLG); the frames are mapped to sRGB."""
    interlaced: bool
    """Whether the source shows its lines in two halves, one after the other; the frames are deinterlaced."""
    changed: bool
    """Whether a stream changed within the clip: the picture's size, the sound's rate or channels, or the clock."""
    loudness: Annotated[Real, Field(ge=-120, le=_MOST)]
    """Root mean square of the sound in dB of full scale, never below -120."""
    peak: Annotated[Real, Field(ge=0, le=1)]
    """Largest absolute sample in [0, 1]."""
    damaged: bool
    """Whether the decoder reported errors."""
    frames_decoded: Natural
    """Number of frames that the decoder gave in the span; the stored ones were chosen of them."""
    largest_gap: Seconds
    """Longest time between successive stored frames in seconds; 0.0 with one frame."""
    video_duration: Seconds
    """Where the picture ends: time of the last decoded frame and one interval, at most the wanted span, seconds."""
    length_difference: Seconds
    """`video_duration - duration` in seconds: below 0 where the picture ends before the sound."""
    motion: Real
    """Largest difference between stored frames about a second apart, in grey levels of 255."""
    still_share: Real
    """Share of those frames that differ by less than one grey level from the one before; 1.0 with one frame."""
    still: bool
    """Whether that holds for all of them."""
    silent: bool
    """Whether `loudness` is below -60."""
    clipped: Real
    """Share of samples at full scale, in [0, 1]."""
    short: bool
    """Whether sound or picture cover less than 0.9 of the wanted span."""
    decoder: Text
    """`ffmpeg` or `pyav`."""
    skip_nonref: bool
    """Whether only reference frames were decoded."""
    ffmpeg: Text
    """Version of the ffmpeg, or of PyAV and its libavcodec, that decoded the clip."""

    @property
    def frame_count(self) -> int:
        """Number of stored frames, at least 1."""
        return len(self.frame_times)

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the names, of FLAGS and in its order, of what is wrong with the clip."""
        found = (
            self.still, self.silent, self.clipped > CLIPPED_SHARE, self.short,
            abs(self.length_difference) > UNEVEN_SECONDS, self.changed, self.damaged,
        )  # fmt: skip
        return tuple(name for name, holds in zip(FLAGS, found, strict=True) if holds)

    def member_size(self, suffix: str) -> int:
        """Return how many bytes the sound or the frames have, by the suffix of their member."""
        if suffix == sound_codec.SUFFIX:
            return sound_codec.locate(0, self.sample_count, self.channels)[1]
        return self.frame_offsets[-1]

    def to_json(self) -> bytes:
        """Encode as one UTF-8 JSON object with the fields in their declared order."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "ClipMetadata":
        """Decode `<key>.json`; fields of later minor revisions are ignored.

        Raises:
            ShardFormatError: on what `find_metadata_faults` finds; it tells the first.
        """
        if len(data) <= MOST_METADATA_BYTES:
            with suppress(ValidationError):  # told in our words below
                return _schema().validate_json(data, strict=True)
        raise ShardFormatError(next(find_metadata_faults(data)))


def find_metadata_faults(data: bytes) -> Iterator[str]:
    """Yield what is wrong with `<key>.json`: no JSON, another format, a field that lacks or is of another range."""
    if len(data) > MOST_METADATA_BYTES:
        yield f"its metadata have {len(data)} bytes; they have at most {MOST_METADATA_BYTES}"
        return
    try:
        _schema().validate_json(data, strict=True)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            where, found = ".".join(map(str, fault["loc"])), json.dumps(fault["input"], default=str)
            if fault["type"] == "missing":
                yield f"its metadata lack the field {where!r}"
            elif fault["loc"]:
                yield f"its field {where!r} is {found if len(found) <= 60 else f'{found[:60]}...'}: {fault['msg']}"
            else:
                yield f"its metadata are no JSON object ({fault['msg']})"


@cache
def _schema() -> TypeAdapter[ClipMetadata]:
    return TypeAdapter(ClipMetadata)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip as its three members hold it."""

    metadata: ClipMetadata
    wav: bytes
    """As `sound_codec` encodes it."""
    mjpg: bytes
    """Baseline JPEGs back to back; also a valid MJPEG stream."""

    @classmethod
    def read(cls, metadata: bytes, wav: bytes, mjpg: bytes, key: str) -> "Clip":
        """Return the clip that three members hold; its frames may be decoded.

        Args:
            key: the clip's as the members' names have it.

        Raises:
            ShardFormatError: naming the clip, where it is another or not as the format says.
        """
        return cls.checked(read_metadata(metadata, key), wav, mjpg, key)

    @classmethod
    def checked(cls, metadata: ClipMetadata, wav: bytes, mjpg: bytes, key: str) -> "Clip":
        """Return a clip once its members are held against its metadata. Arguments and errors as of `read`."""
        faults = find_clip_faults(metadata, wav[: sound_codec.HEADER_BYTES], len(wav), len(mjpg))
        for _, fault in faults:
            raise ShardFormatError(f"clip {key}: {fault}")
        for number, (start, stop) in enumerate(pairwise(metadata.frame_offsets)):
            if found := jpeg.find_fault(mjpg[start:stop], metadata.width, metadata.height):
                raise ShardFormatError(f"clip {key}: its frame {number} {found[1]}")
        return cls(metadata, wav, mjpg)

    @property
    def key(self) -> str:
        """The clip's key, unique over the dataset."""
        return self.metadata.key

    def members(self) -> tuple[tuple[str, bytes], ...]:
        """Return (member name, bytes) in tar order."""
        contents = (self.metadata.to_json(), self.wav, self.mjpg)
        return tuple((f"{self.key}.{suffix}", data) for suffix, data in zip(MEMBERS, contents, strict=True))

    def frame(self, index: int) -> memoryview:
        """Return the JPEG bytes of frame `index`, without a copy."""
        offsets = self.metadata.frame_offsets
        return memoryview(self.mjpg)[offsets[index] : offsets[index + 1]]

    def samples(self, start: int, stop: int) -> bytes:
        """Return samples [start, stop) of all channels as little-endian int16."""
        channels = self.metadata.channels
        return sound_codec.decode_member(self.wav)[channels * start : channels * stop].tobytes()


def read_metadata(data: bytes, key: str) -> ClipMetadata:
    """Return the metadata of the clip `key`. Raises ShardFormatError, naming it, where they are not that."""
    try:
        known = ClipMetadata.from_json(data)
    except ShardFormatError as error:
        raise ShardFormatError(f"clip {key}: {error}") from error
    if known.key != key:
        raise ShardFormatError(f"holds {known.key!r} where {key} should be")
    return known


def find_clip_faults(
    metadata: ClipMetadata, wav_head: bytes, wav_size: int, mjpg_size: int, longest: float | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the code of `verify` and words of what the members do not have as the metadata say.

    Args:
        wav_head: the first `sound_codec.HEADER_BYTES` of the sound.
        wav_size, mjpg_size: bytes of sound and frames.
        longest: the longest that a clip may be, seconds; None where it is not known.
    """
    if metadata.labels[0] != metadata.label:
        yield "metadata", f"its label {metadata.label!r} is not the first of its labels"
    count, rate = metadata.sample_count, metadata.sample_rate
    for fault in sound_codec.find_faults(wav_head, wav_size, rate, count, metadata.channels):
        yield "sound", fault
    if metadata.duration != count / rate:
        yield "sound", f"its duration {metadata.duration} is not {count} samples at {rate} Hz"
    times, offsets = metadata.frame_times, metadata.frame_offsets
    for number, (earlier, later) in enumerate(pairwise(times), 1):
        if later <= earlier:
            yield "times", f"its frame {number} is at {later} s, the one before at {earlier} s"
            break
    last = max(longest or math.inf, metadata.duration)  # the picture may be longer than the sound
    outside = [moment for moment in times if not 0 <= moment < last]
    if outside:
        yield "times", f"{len(outside)} of its frames lie outside the clip, at {outside[0]} s for one"
    rising = all(earlier < later for earlier, later in pairwise(offsets))
    if len(offsets) != len(times) + 1 or offsets[0] != 0 or offsets[-1] != mjpg_size or not rising:
        yield "frames", f"its {len(offsets)} frame offsets do not span the {mjpg_size} bytes of {len(times)} frames"
    elif (largest := max(later - earlier for earlier, later in pairwise(offsets))) > jpeg.MOST_BYTES:
        yield "frames", f"one of its frames has {largest} bytes; a frame has at most {jpeg.MOST_BYTES}"
