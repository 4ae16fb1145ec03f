"""Turn one source into one clip of the shard format, or say why it cannot be one."""

import math
import os
import re
import stat
from typing import Any

import numpy as np

from shards.clip import FORMAT_VERSION, JPEG_END, JPEG_START, Clip, ClipMetadata, wav_header

from .errors import MediaError
from .ffmpeg import Decoded, decode, ffmpeg_version
from .settings import ShardSettings
from .sources import Source

_QUIETEST = -120.0
_BETWEEN_FRAMES = JPEG_END + JPEG_START
_VIDEO_LINE = re.compile(r"Stream #0:\d+.*: Video: .*?, (\d+)x(\d+)")
_FRAME_RATE = re.compile(r"Stream #0:\d+.*: Video: .*?, ([\d.]+k?) fps")
_AUDIO_LINE = re.compile(r"Stream #0:\d+.*: Audio: .*?, (\d+) Hz")
_ERROR_LINE = re.compile(r"\[(?:error|fatal|panic)\]")


def read_clip(source: Source, settings: ShardSettings, binary: str) -> Clip:
    """Decode a source.

    Frame times and samples count from `source.seek`; frames before it, sound after the span, and what the audio
    codec pads at its end are cut off.

    Raises:
        MediaError: with the reason code for the ledger.
    """
    _check_file(source.path)
    duration = min(source.duration or settings.clip_seconds, settings.clip_seconds)
    decoded = decode(binary, source.path, settings, seek=source.seek, duration=duration)
    times, offsets, mjpg = _frames(decoded, source.seek, duration)
    pcm = decoded.pcm[: 2 * round(duration * settings.sample_rate)]
    pcm = pcm[: len(pcm) // 2 * 2]
    if not pcm:
        raise MediaError("no_samples", "the audio stream gave no sample in the wanted span")
    width, height = jpeg_size(mjpg)
    loudness, peak = _loudness(pcm)
    metadata = ClipMetadata(
        format=FORMAT_VERSION, key=source.key, video=source.video, source=source.name, label=source.label,
        split=source.split, start=source.start, duration=len(pcm) // 2 / settings.sample_rate,
        frame_times=times, frame_offsets=offsets, width=width, height=height,
        sample_rate=settings.sample_rate, sample_count=len(pcm) // 2,
        loudness=loudness, peak=peak, damaged=bool(_ERROR_LINE.search(decoded.messages)),
        ffmpeg=ffmpeg_version(binary), **_source_facts(decoded.messages),
    )  # fmt: skip
    return Clip(metadata, wav_header(settings.sample_rate, len(pcm) // 2) + pcm, mjpg)


def _check_file(path: str) -> None:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("unreadable", f"{path} is no regular file")
        if not status.st_size:
            raise MediaError("empty", f"{path} has no bytes")
        with open(path, "rb"):
            pass
    except FileNotFoundError as error:
        raise MediaError("missing", f"{path} is not there") from error
    except OSError as error:
        raise MediaError("unreadable", f"{path} cannot be opened ({error.strerror})") from error


def _frames(decoded: Decoded, seek: float, duration: float) -> tuple[list[float], list[int], bytes]:
    """Return times, offsets and bytes of the frames inside the span."""
    jpegs = split_jpegs(decoded.jpegs)
    if len(jpegs) != len(decoded.frame_times):
        message = f"ffmpeg wrote {len(jpegs)} frames but {len(decoded.frame_times)} times"
        raise MediaError("undecodable", message)
    times: list[float] = []
    kept: list[bytes] = []
    for jpeg, time in zip(jpegs, decoded.frame_times, strict=True):
        relative = round(time - seek, 6)
        if 0 <= relative < duration and (not times or relative > times[-1]):
            times.append(relative)
            kept.append(jpeg)
    if not kept:
        raise MediaError("no_frames", "the video stream gave no frame in the wanted span")
    offsets = [0]
    for jpeg in kept:
        offsets.append(offsets[-1] + len(jpeg))
    return times, offsets, b"".join(kept)


def split_jpegs(data: bytes) -> list[bytes]:
    """Split JPEGs that lie back to back.

    An end marker followed by a start marker cannot occur inside a JPEG's scan, where every FF is stuffed or a
    restart marker (ITU-T T.81, B.1.1.5), and ffmpeg's encoder writes no comment or thumbnail that could hold one.
    """
    if not data:
        return []
    first, *rest = data.split(_BETWEEN_FRAMES)
    parts = [first, *(JPEG_START + part for part in rest)]
    return [part + JPEG_END for part in parts[:-1]] + parts[-1:]


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the first frame header of a JPEG (ITU-T T.81, B.2.2).

    Raises:
        MediaError: when there is none.
    """
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if 0xC0 <= marker <= 0xC2:
            return int.from_bytes(data[position + 7 : position + 9]), int.from_bytes(data[position + 5 : position + 7])
        position += 2 + length
    raise MediaError("undecodable", "ffmpeg wrote a frame that is no JPEG")


def _loudness(pcm: bytes) -> tuple[float, float]:
    """Return root mean square in dB of full scale, and the peak in [0, 1]."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    power = float(np.mean(np.square(samples), dtype=np.float64))
    decibels = 10 * math.log10(power) if power > 0 else _QUIETEST
    return round(max(decibels, _QUIETEST), 2), round(float(np.abs(samples).max()), 5)


def _source_facts(messages: str) -> dict[str, Any]:
    """Return what ffmpeg printed of the source's first streams; 0 where it did not."""
    header = messages.partition("Stream mapping:")[0]
    size, rate, sound = (pattern.search(header) for pattern in (_VIDEO_LINE, _FRAME_RATE, _AUDIO_LINE))
    frame_rate = rate[1] if rate else "0"
    return {
        "source_width": int(size[1]) if size else 0,
        "source_height": int(size[2]) if size else 0,
        "source_frame_rate": float(frame_rate[:-1]) * 1000 if frame_rate.endswith("k") else float(frame_rate),
        "source_sample_rate": int(sound[1]) if sound else 0,
    }
