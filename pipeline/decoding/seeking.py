"""Seek with PyAV to a key frame before a span, also where the container does not know where its key frames are."""

from contextlib import suppress
from typing import TYPE_CHECKING

from .choice import MICROSECOND, rescale

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

NO_INDEX = 0x0200  # AVFMT_TS_DISCONT
"""Flag of the containers that are streams of packets: MPEG-TS, MPEG-PS, Ogg. A seek in them lands anywhere."""
_EARLY = 130_000
"""Microseconds: what ffmpeg takes off a seek where frames are reordered."""
_FURTHER = 1_000_000, 4_000_000, 16_000_000, 64_000_000
"""Microseconds before the span at which a key frame is looked for in a stream of packets."""


def seek_to_key(container: "InputContainer", video: "av.VideoStream", origin: int, target: int) -> bool:
    """Seek to a place from which all of a span can be decoded.

    Args:
        container: what to seek in.
        video: its video stream.
        origin: the container's start, microseconds.
        target: the span's start on the same clock.

    Returns:
        Whether the packets before the first key frame are to be left out.
    """
    if not container.format.flags & NO_INDEX:
        seek(container, max(origin, target - _EARLY))
        return False
    for back in _FURTHER:
        place = max(origin, target - back)
        seek(container, place)
        if place == origin or _has_key(container, video, target):
            break
    else:
        place = origin
    seek(container, place)
    return True


def seek(container: "InputContainer", place: int) -> None:
    """Seek to a time in microseconds, or to what lies before it."""
    import av

    with suppress(av.FFmpegError):  # what cannot be sought is read from its beginning
        container.seek(place, backward=True)


def _has_key(container: "InputContainer", video: "av.VideoStream", target: int) -> bool:
    """Return whether a key frame comes before a time."""
    import av

    end = rescale(target, MICROSECOND, video.time_base or MICROSECOND)
    with suppress(av.FFmpegError):
        for packet in container.demux(video):
            if packet.pts is not None and (packet.is_keyframe or packet.pts > end):
                return packet.pts <= end
    return False
