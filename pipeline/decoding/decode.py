"""Turn one source into one clip of the shard format, or say why it cannot be one."""

import os
from math import floor

from avcorr.files import open_file
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.format import sound_codec
from avcorr.shards.format.clip import FORMAT_VERSION, Clip, ClipMetadata

from ..errors import MediaError
from ..settings import ShardSettings
from ..sources.source import Source
from .decoded import Backend, Decoded, SoundFile
from .pictures import jpeg_size
from .quality import SHORT_SHARE, picture_quality, sound_quality


def read_clip(source: Source, settings: ShardSettings, backend: Backend) -> Clip:
    """Decode a source.

    Frame times and samples count from `source.seek`; frames before it, sound after the span, and what the audio
    codec pads at its end are cut off.

    Raises:
        MediaError: with the reason code for the ledger.
    """
    _check_file(source.path)
    beside = SoundFile(source.audio, source.audio_offset) if source.audio else None
    if beside:
        _check_file(beside.path)
    wanted = min(source.duration or settings.clip_seconds, settings.clip_seconds)
    decoded = backend.decode(source.path, settings, seek=source.seek, duration=wanted, beside=beside)
    times, jpegs = _frames(decoded, source.seek, wanted, settings.frames_per_second)
    relative = [round(time - source.seek, 6) for time in decoded.source_times]
    source_times = [time for time in relative if 0 <= time < wanted] or times
    picture = picture_quality(jpegs, times, source_times, decoded.source_frame_rate, wanted)
    pcm = decoded.pcm[: 2 * round((picture["video_duration"] if decoded.anew else wanted) * settings.sample_rate)]
    pcm = pcm[: len(pcm) // 2 * 2]
    if not pcm:
        raise MediaError("no_samples", "the audio stream gave no sample in the wanted span")
    width, height = jpeg_size(jpegs[0])
    duration = len(pcm) // 2 / settings.sample_rate
    metadata = ClipMetadata(
        format=FORMAT_VERSION, key=source.key, video=source.video, source=source.name, label=source.label,
        labels=list(source.labels) or [""], caption=source.caption,
        split=source.split, start=source.start, duration=duration, frame_times=times, frame_offsets=_offsets(jpegs),
        width=width, height=height, sample_rate=settings.sample_rate, channels=1,
        sample_count=len(pcm) // 2,
        source_width=decoded.source_width, source_height=decoded.source_height,
        source_frame_rate=decoded.source_frame_rate, source_sample_rate=decoded.source_sample_rate,
        video_streams=decoded.video_streams, audio_streams=decoded.audio_streams, hdr=decoded.hdr,
        interlaced=decoded.interlaced, changed=decoded.changed, damaged=decoded.damaged,
        short=min(duration, picture["video_duration"]) < SHORT_SHARE * wanted,
        length_difference=round(picture["video_duration"] - duration, 6), **picture, **sound_quality(pcm),
        decoder=settings.decoder, skip_nonref=settings.skip_nonref, ffmpeg=backend.version,
    )  # fmt: skip
    clip = Clip(metadata, sound_codec.encode(pcm, settings.sample_rate), b"".join(jpegs))
    try:
        return Clip.read(metadata.to_json(), clip.wav, clip.mjpg, source.key)
    except ShardFormatError as error:  # a label without end, a panorama with a large shorter side
        raise MediaError("too_large", f"the format of shards does not take it ({error})") from error


def _check_file(path: str) -> None:
    try:
        with open_file(path) as file:
            if not os.fstat(file.fileno()).st_size:
                raise MediaError("empty", f"{path} has no bytes")
    except FileNotFoundError as error:
        raise MediaError("missing", f"{path} is not there") from error
    except OSError as error:
        raise MediaError("unreadable", f"{path} cannot be opened ({error.strerror})") from error


def _frames(decoded: Decoded, seek: float, wanted: float, rate: float) -> tuple[list[float], list[bytes]]:
    """Return times and JPEGs of the frames inside the span, one in each interval of 1 / frames_per_second.

    Where a stream changes in mid-file, ffmpeg begins to choose anew and may give a second one.
    """
    times: list[float] = []
    kept: list[bytes] = []
    last = -1
    for jpeg, time in zip(decoded.jpegs, decoded.frame_times, strict=True):
        relative = round(time - seek, 6)
        interval = floor((time - seek + 1e-6) * rate)
        if 0 <= relative < wanted and interval > last:
            last = interval
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
