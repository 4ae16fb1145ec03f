"""Turn one source into one clip of the shard format, or say why it cannot be one."""

import os

from avcorr.shards.format.clip import FORMAT_VERSION, Clip, ClipMetadata, wav_header

from ..errors import MediaError
from ..settings import ShardSettings
from ..sources.file import open_file
from ..sources.source import Source
from .decoded import Backend, Decoded
from .quality import SHORT_SHARE, picture_quality, sound_quality


def read_clip(source: Source, settings: ShardSettings, backend: Backend) -> Clip:
    """Decode a source.

    Frame times and samples count from `source.seek`; frames before it, sound after the span, and what the audio
    codec pads at its end are cut off.

    Raises:
        MediaError: with the reason code for the ledger.
    """
    _check_file(source.path)
    wanted = min(source.duration or settings.clip_seconds, settings.clip_seconds)
    decoded = backend.decode(source.path, settings, seek=source.seek, duration=wanted)
    times, jpegs = _frames(decoded, source.seek, wanted)
    pcm = decoded.pcm[: 2 * round(wanted * settings.sample_rate)]
    pcm = pcm[: len(pcm) // 2 * 2]
    if not pcm:
        raise MediaError("no_samples", "the audio stream gave no sample in the wanted span")
    width, height = jpeg_size(jpegs[0])
    duration = len(pcm) // 2 / settings.sample_rate
    relative = [round(time - source.seek, 6) for time in decoded.source_times]
    source_times = [time for time in relative if 0 <= time < wanted] or times
    picture = picture_quality(jpegs, times, source_times, decoded.source_frame_rate, wanted)
    metadata = ClipMetadata(
        format=FORMAT_VERSION, key=source.key, video=source.video, source=source.name, label=source.label,
        labels=[source.label], caption="",
        split=source.split, start=source.start, duration=duration, frame_times=times, frame_offsets=_offsets(jpegs),
        width=width, height=height, sample_rate=settings.sample_rate, channels=1,
        sample_count=len(pcm) // 2,
        source_width=decoded.source_width, source_height=decoded.source_height,
        source_frame_rate=decoded.source_frame_rate, source_sample_rate=decoded.source_sample_rate,
        video_streams=decoded.video_streams, audio_streams=decoded.audio_streams, hdr=decoded.hdr,
        damaged=decoded.damaged, short=min(duration, picture["video_duration"]) < SHORT_SHARE * wanted,
        length_difference=round(picture["video_duration"] - duration, 6), **picture, **sound_quality(pcm),
        decoder=settings.decoder, skip_nonref=settings.skip_nonref, ffmpeg=backend.version,
    )  # fmt: skip
    return Clip(metadata, wav_header(settings.sample_rate, len(pcm) // 2) + pcm, b"".join(jpegs))


def _check_file(path: str) -> None:
    try:
        with open_file(path) as file:
            if not os.fstat(file.fileno()).st_size:
                raise MediaError("empty", f"{path} has no bytes")
    except FileNotFoundError as error:
        raise MediaError("missing", f"{path} is not there") from error
    except OSError as error:
        raise MediaError("unreadable", f"{path} cannot be opened ({error.strerror})") from error


def _frames(decoded: Decoded, seek: float, wanted: float) -> tuple[list[float], list[bytes]]:
    """Return times and JPEGs of the frames inside the span."""
    times: list[float] = []
    kept: list[bytes] = []
    for jpeg, time in zip(decoded.jpegs, decoded.frame_times, strict=True):
        relative = round(time - seek, 6)
        if 0 <= relative < wanted and (not times or relative > times[-1]):
            times.append(relative)
            kept.append(jpeg)
    if not kept:
        raise MediaError("no_frames", "the video stream gave no frame in the wanted span")
    return times, kept


def _offsets(jpegs: list[bytes]) -> list[int]:
    offsets = [0]
    for jpeg in jpegs:
        offsets.append(offsets[-1] + len(jpeg))
    return offsets


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
