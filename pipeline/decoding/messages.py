"""Understand what ffmpeg prints: facts of the source, errors, and why it gave up."""

import re
import signal
from typing import Any

from ..errors import MediaError
from .decoded import MEMORY_BYTES

_ENCRYPTED = re.compile(r"Stream #.*\((?:encv|enca) / ")
_VIDEO_LINE = re.compile(r"Stream #0:\d+.*: Video: .*?, (\d+)x(\d+)")
_FRAME_RATE = re.compile(r"Stream #0:\d+.*: Video: .*?, ([\d.]+k?) fps")
_AUDIO_LINE = re.compile(r"Stream #0:\d+.*: Audio: .*?, (\d+) Hz")
_STREAM_LINE = re.compile(r"Stream #0:\d+.*: (Video|Audio): (.*)")
_HDR = re.compile(r"\b(?:smpte2084|arib-std-b67)\b")
_ERROR_LINE = re.compile(r"\[(?:error|fatal|panic)\]")
_EMPTY_OUTPUT = re.compile(r"\[out#(\d)/.*Nothing was written into output")
_NO_MEMORY = "Cannot allocate memory"
_HOPELESS = "Decode error rate"
_TIME_LINE = re.compile(rb"^frame:\d+\s+pts:(-?\d+)", re.MULTILINE)


def is_encrypted(messages: str) -> bool:
    """Return whether a stream's codec tag says that it is encrypted."""
    return bool(_ENCRYPTED.search(messages))


def has_errors(messages: str) -> bool:
    """Return whether ffmpeg reported an error, whatever its exit code."""
    return bool(_ERROR_LINE.search(messages))


def source_facts(messages: str) -> dict[str, Any]:
    """Return what ffmpeg printed of the source's first streams, as fields of Decoded; 0 where it did not."""
    header = messages.partition("Stream mapping:")[0]
    size, rate, sound = (pattern.search(header) for pattern in (_VIDEO_LINE, _FRAME_RATE, _AUDIO_LINE))
    frame_rate = rate[1] if rate else "0"
    streams = [(kind, text) for kind, text in _STREAM_LINE.findall(header) if "(attached pic)" not in text]
    pictures = [text for kind, text in streams if kind == "Video"]
    return {
        "source_width": int(size[1]) if size else 0,
        "source_height": int(size[2]) if size else 0,
        "source_frame_rate": float(frame_rate[:-1]) * 1000 if frame_rate.endswith("k") else float(frame_rate),
        "source_sample_rate": int(sound[1]) if sound else 0,
        "video_streams": len(pictures),
        "audio_streams": len(streams) - len(pictures),
        "hdr": bool(pictures and _HDR.search(pictures[0])),
    }


def failure(exit_code: int, messages: str) -> MediaError:
    """Return the error of an ffmpeg that ended with `exit_code` after these messages."""
    tail = last_lines(messages.encode())
    if exit_code < 0:
        code, what = "crashed", f"ffmpeg died ({signal.Signals(-exit_code).name})"
    elif is_encrypted(messages):
        code, what = "encrypted", "a stream is encrypted"
    elif "Input #0" not in messages:
        code, what = "not_media", "ffmpeg finds no container it knows, or a damaged one"
    elif _NO_MEMORY in messages:
        code, what = "crashed", f"ffmpeg asked for more memory than the {MEMORY_BYTES >> 30} GiB that it may have"
    elif ": Video: " not in messages or "V:0" in tail and "matches no streams" in tail:
        code, what = "no_video", "there is no video stream"
    elif ": Audio: " not in messages:
        code, what = "no_audio", "there is no audio stream"
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
