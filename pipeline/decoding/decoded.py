"""What a decoder makes of one video, whichever decoder it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import MediaError
from ..settings import ShardSettings

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,kux,asf,asf_o,ogg,"
    "mxf,nut,rm,nsv,dv,gxf,wtv,swf,h264,hevc,m4v,ivf,aac,mp3,wav,flac,amr,ac3,eac3,aiff,caf,au,w64,wv,tta,voc"
)
"""Containers that may be opened. Playlists (HLS, concat, DASH) are not among them: they name other files."""
MAX_PIXELS = 16384 * 16384
"""Largest coded picture that may be opened."""
MEMORY_BYTES = 4 << 30
"""Address space that a decoder's process may fill with one clip."""
JUMP_SECONDS = 1.0
"""A frame that claims to be so much earlier than the one before it begins another clock: files that were joined."""
SOUND_AROUND = 60.0, 1.0
"""Seconds before and after the span in which sound may begin. What claims to lie further off has a false time, which
would be reached through silence without end."""

BESIDE_EARLY = 0.5
"""Seconds before the span at which the reading of a sound's own file begins: a codec's first packet is not whole."""


def named_sound(languages: Sequence[str], wanted: str) -> int:
    """Return which stream of sound is wanted by its place or language; `languages` has "" where none is told.

    Raises:
        MediaError: `no_audio` when it is not there, with those that are.
    """
    for place, language in enumerate(languages):
        if wanted in (str(place), language):
            return place
    have = ", ".join(f"{place} ({language or 'no language'})" for place, language in enumerate(languages))
    raise MediaError("no_audio", f"there is no stream of sound {wanted!r} (shard.audio_stream); there are {have}")


def mono_mix(layout: str) -> str:
    """Return how channels become one where FFmpeg has no mix, as an option of `pan`; "" where it has one.

    An ambisonic's first channel is what comes from all around; channels without places have the same share.

    Args:
        layout: what FFmpeg calls the channels.
    """
    if layout.startswith("ambisonic"):
        return "mono|c0=c0"
    unnamed = re.match(r"(\d+) channels", layout)
    return "mono|c0<" + "+".join(f"c{channel}" for channel in range(int(unnamed[1]))) if unnamed else ""


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file beside the video that holds its sound."""

    path: str
    offset: float
    """Where its first sample lies on the video's clock, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Frames, sound and facts of one span of one video. Times are seconds on the container's clock, from 0."""

    jpegs: tuple[bytes, ...]
    """The chosen frames: the first in each interval of 1 / frames_per_second."""
    frame_times: tuple[float, ...]
    """Presentation time of each chosen frame."""
    source_times: tuple[float, ...]
    """Presentation times of all frames that were decoded in the span, in order."""
    pcm: bytes
    """Mono little-endian int16; sample 0 lies at the start of the wanted span."""
    damaged: bool
    """Whether the decoder reported errors."""
    source_width: int = 0
    """Coded size, frame rate (frames per second) and sample rate (Hz) of the source; 0 where unknown."""
    source_height: int = 0
    source_frame_rate: float = 0.0
    source_sample_rate: int = 0
    video_streams: int = 0
    """Streams that a player could choose from, cover pictures left out."""
    audio_streams: int = 0
    hdr: bool = False
    """Whether the picture's declared transfer is PQ or HLG."""
    interlaced: bool = False
    """Whether the source shows its lines in two halves, one after the other; the frames are deinterlaced."""
    changed: bool = False
    """Whether a stream changed within the span: the picture's size, the sound's rate or channels, or the clock."""
    anew: bool = False
    """Whether the clock begins anew in the span: the frames end there, and the sound is to end with them."""


class Backend(Protocol):
    """A way to decode."""

    @property
    def version(self) -> str:
        """Version of the libraries that decode, as it goes into each clip."""

    def decode(
        self, path: str, settings: ShardSettings, *, seek: float, duration: float, beside: SoundFile | None = None
    ) -> Decoded:
        """Decode [seek, seek + duration) seconds of a video, with the sound of a file beside it where one is given.

        Raises:
            MediaError: with the reason code.
        """
