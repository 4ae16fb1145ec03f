"""What is wrong with a clip, measured when it is made: a still picture, silence, clipping, too short, uneven lengths.

The thresholds are part of the format (shards/FORMAT.md, Quality); what they were applied to is stored beside them.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import simplejpeg

STILL_GREY_LEVELS = 1.0
"""Compared frames that differ by less are the same picture. Noise and recompression of one stay below."""
COMPARED_SECONDS = 1.0
"""Frames this far apart are compared: what moves is seen, and so is a slow fade that successive frames would hide."""
SILENT_DECIBELS = -60.0
SHORT_SHARE = 0.9
_QUIETEST_DECIBELS = -120.0
_FULL_SCALE = 32767


def picture_quality(
    jpegs: Sequence[bytes], times: Sequence[float], source_times: Sequence[float], frame_rate: float, wanted: float
) -> dict[str, Any]:
    """Return the fields of the metadata that describe the picture.

    Args:
        jpegs: the stored frames.
        times: their times in seconds from the clip's time 0.
        source_times: times of all frames decoded in the span, from the same 0.
        frame_rate: what the container claims, frames per second; 0.0 where it claims none.
        wanted: length of the span that was asked for, in seconds.
    """
    steps = frame_differences([jpegs[number] for number in compared_frames(times)])
    gaps = np.diff(times)
    distances = np.diff(source_times)
    interval = float(np.median(distances)) if len(distances) else 1 / frame_rate if frame_rate > 0 else 0.0
    return {
        "frames_decoded": len(source_times),
        "largest_gap": round(float(gaps.max()), 6) if len(gaps) else 0.0,
        "video_duration": round(min(source_times[-1] + interval, wanted), 6),
        "motion": round(float(steps.max()), 3) if len(steps) else 0.0,
        "still_share": round(float(np.mean(steps < STILL_GREY_LEVELS)), 4) if len(steps) else 1.0,
        "still": bool(np.all(steps < STILL_GREY_LEVELS)),
    }


def compared_frames(times: Sequence[float]) -> list[int]:
    """Return the numbers of the frames to compare: the first, each that comes a second or more later, the last."""
    chosen = [0]
    for number, time in enumerate(times):
        if time - times[chosen[-1]] >= COMPARED_SECONDS - 1e-6 or (number == len(times) - 1 and number > chosen[-1]):
            chosen.append(number)
    return chosen


def frame_differences(jpegs: Sequence[bytes]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the mean absolute difference of each picture to the next in grey levels of 255, at an eighth of the size.

    An eighth is what a JPEG's decoder gives for the price of reading the file: the mean of each block.
    """
    grey = [simplejpeg.decode_jpeg(jpeg, "GRAY", min_factor=8, fastdct=True).astype(np.int16) for jpeg in jpegs]
    pairs = zip(grey, grey[1:], strict=False)
    return np.array(
        [np.abs(second - first).mean() if first.shape == second.shape else 255.0 for first, second in pairs]
    )


def sound_quality(pcm: bytes) -> dict[str, Any]:
    """Return the fields of the metadata that describe the sound, mono little-endian int16, at least one sample."""
    samples = np.frombuffer(pcm, "<i2")
    wide = samples.astype(np.float32) / 32768
    power = float(np.dot(wide, wide)) / len(wide)
    decibels = 10 * math.log10(power) if power > 0 else _QUIETEST_DECIBELS
    top, bottom = int(samples.max()), int(samples.min())
    clipped = np.count_nonzero(samples >= _FULL_SCALE) + np.count_nonzero(samples <= -_FULL_SCALE)
    loudness = round(max(decibels, _QUIETEST_DECIBELS), 2)
    return {
        "loudness": loudness,
        "peak": round(max(top, -bottom) / 32768, 5),
        "silent": loudness < SILENT_DECIBELS,
        "clipped": round(float(clipped) / len(samples), 6),
    }
