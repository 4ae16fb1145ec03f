"""One clip as the format stores it: its metadata, its sound as WAV and its frames as JPEGs back to back."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from ..errors import ShardFormatError
from . import sound_codec

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
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


_MOST = 2**30


def _not_int(value: object) -> object:
    """Refuse an int for a float: loaders that infer a schema need the same type in all clips."""
    if isinstance(value, int):
        raise ValueError("Input should have a decimal point")
    return value


Real = Annotated[float, BeforeValidator(_not_int), Field(allow_inf_nan=False)]
Natural = Annotated[int, Field(ge=0, le=_MOST)]
Positive = Annotated[int, Field(ge=1, le=_MOST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipMetadata:
    """What `<key>.json` holds: every field in every clip, with one type, never null and never an empty list.

    `verify` holds clips against the types; to read a clip checks none.
    Times are seconds from the clip's own time 0, which is also where its audio sample 0 lies.
    """

    format: int
    key: str
    video: str
    """Identity of the source video; clips of one video share it. Splits never share a video."""
    source: str
    """The path as it was given, relative to the source folder."""
    label: str
    """Class name, the first of `labels`; "" where unknown."""
    labels: Annotated[list[str], Field(min_length=1)]
    """All class names; [""] where none is known."""
    caption: str
    """What the clip shows in words; "" where unknown."""
    split: str
    start: Annotated[Real, Field(ge=0, le=_MOST)]
    """Where the clip begins in its source video, in seconds."""
    duration: Real
    """Length of the stored sound in seconds."""
    frame_times: Annotated[list[Real], Field(min_length=1)]
    """Presentation time of each frame in seconds, strictly increasing, rounded to a microsecond."""
    frame_offsets: Annotated[list[int], Field(min_length=1)]
    """Frame i is the bytes [frame_offsets[i], frame_offsets[i + 1]) of `<key>.mjpg`: one more than frames."""
    width: Positive
    height: Positive
    sample_rate: Positive
    channels: Annotated[int, Field(ge=1, le=2)]
    """1 or 2; the samples of two channels alternate, left first."""
    sample_count: Positive
    """Samples of each channel."""
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
    frames_decoded: int
    """Number of frames that the decoder gave in the span; the stored ones were chosen of them."""
    largest_gap: Real
    """Longest time between successive stored frames in seconds; 0.0 with one frame."""
    video_duration: Real
    """Where the picture ends: time of the last decoded frame and one interval, at most the wanted span, seconds."""
    length_difference: Real
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
    decoder: str
    """`ffmpeg` or `pyav`."""
    skip_nonref: bool
    """Whether only reference frames were decoded."""
    ffmpeg: str
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

    def to_json(self) -> bytes:
        """Encode as one UTF-8 JSON object with the fields in their declared order."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "ClipMetadata":
        """Decode `<key>.json`; fields of later minor revisions are ignored.

        Raises:
            ShardFormatError: on invalid JSON, another format version, or a missing field.
        """
        try:
            values = json.loads(data)
        except ValueError as error:
            raise ShardFormatError(f"clip metadata is not JSON ({error})") from error
        return cls.from_mapping(values)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "ClipMetadata":
        """Make the record from decoded JSON. Raises ShardFormatError as `from_json` does."""
        version = values.get("format") if isinstance(values, Mapping) else None
        if version != FORMAT_VERSION:
            raise ShardFormatError(f"clip metadata has format {version!r}; this program reads format {FORMAT_VERSION}")
        try:
            return cls(**{name: values[name] for name in _FIELD_NAMES})
        except KeyError as error:
            raise ShardFormatError(f"clip metadata lacks the field {error}") from error


_FIELD_NAMES = tuple(field.name for field in fields(ClipMetadata))


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip as its three members hold it."""

    metadata: ClipMetadata
    wav: bytes
    """As `sound_codec` encodes it."""
    mjpg: bytes
    """Baseline JPEGs back to back; also a valid MJPEG stream."""

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
