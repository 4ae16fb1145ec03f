"""The argument list with which ffmpeg decodes one span of one video."""

from functools import lru_cache
from typing import Literal

import ffmpeg

from ..settings import ShardSettings
from ..sources.file import open_file
from .decoded import FORMATS, MAX_PIXELS, SOUND_AROUND

Only = Literal["", "picture", "sound"]
_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-v", "level+info", "-filter_complex_threads", "1")
_EARLY = 20.0
"""Seconds before the span at which reading begins where a seek does not land on a key frame."""
_PATH, _TIMES, _ALL_TIMES, _PCM = "/path", 990001, 990002, 990003
"""What stands in the cached list for what changes from call to call."""


def decode_command(
    binary: str,
    path: str,
    settings: ShardSettings,
    *,
    seek: float,
    duration: float,
    pipes: tuple[int, int, int],
    time_base: str,
    only: Only = "",
    container: str = "",
) -> list[str]:
    """Return the argument list that decodes one span of one video.

    Args:
        binary: the ffmpeg.
        path: the video.
        settings: size, quality and rates.
        seek: start of the span in seconds.
        duration: its length in seconds.
        pipes: descriptors for the times of the chosen frames, the times of all frames, and the sound. The JPEGs go
            to standard output.
        time_base: what this ffmpeg calls "as the source" for -enc_time_base.
        only: one of the streams, where the file has or needs no other.
        container: what the file is, where that is known; it need not be one of FORMATS then.
    """
    begin = max(0.0, seek - _EARLY) if seek and lacks_index(path) else seek
    changed = {f"file:{_PATH}": f"file:{path}", f"pipe:{_PCM}": f"pipe:{pipes[2]}"}
    command = [
        changed.get(word, word)
        for word in _template(binary, settings, seek, begin, duration, time_base, only, container)
    ]
    position = command.index("-filter_complex") + 1
    graph = command[position]
    for placeholder, pipe in ((_TIMES, pipes[0]), (_ALL_TIMES, pipes[1])):
        graph = graph.replace(f":{placeholder}", f":{pipe}")
    command[position] = graph
    return command


@lru_cache(maxsize=64)
def _template(
    binary: str,
    settings: ShardSettings,
    seek: float,
    begin: float,
    duration: float,
    time_base: str,
    only: Only,
    container: str,
) -> tuple[str, ...]:
    """Compile the filter graph once for many videos: ffmpeg-python takes 2 ms for it.

    Frames are chosen, never made: the first in each bucket of 1/frames_per_second on the video's own clock, so
    with a variable frame rate no time is invented (`fps=` would lay a new grid). Times are microseconds before the
    choice, and a microsecond early is in time. Sound starts at `seek` exactly: `first_pts` pads a late start with
    silence and trims an early one; it counts samples of the source's rate, which is not known here, so the sound's
    clock is set to 0 at `seek` first. Reading begins at `begin`; nothing of what lies before `seek` is chosen.
    """
    rate, side = settings.frames_per_second, settings.short_side
    span: dict[str, float | str] = {"ss": begin} if begin else {}
    if container:
        span["f"] = container
    source = ffmpeg.input(
        f"file:{_PATH}", **span, t=duration + seek - begin, threads=1, copyts=None, start_at_zero=None,
        max_pixels=MAX_PIXELS, protocol_whitelist="file", format_whitelist=container or FORMATS,
    )  # fmt: skip
    chosen = "isnan(prev_selected_t)+gt({},{})".format(
        *(f"floor(({clock}-{seek}+1e-6)*{rate})" for clock in ("t", "prev_selected_t"))
    )
    if begin < seek:
        chosen = f"gte(t,{seek}-5e-7)*({chosen})"
    wide = "gte(iw*sar,ih)"
    frames = (
        source["V:0"]
        .filter("settb", "AVTB")
        .filter("metadata", mode="add", key="k", value=1)
        .filter("metadata", mode="print", key="k", file=f"pipe:{_ALL_TIMES}")
        .filter("select", chosen)
        .filter("metadata", mode="print", key="k", file=f"pipe:{_TIMES}")
        .filter(
            "scale",
            w=f"if({wide},2*round({side}*iw*sar/ih/2),{side})",
            h=f"if({wide},{side},2*round({side}*ih/(iw*sar)/2))",
            flags="area",
        )
        .filter("setsar", 1)
    )
    earliest, latest = seek - SOUND_AROUND[0], seek + duration + SOUND_AROUND[1]
    sound = source["a:0"].filter("aselect", f"not(lt(t,{earliest})+gt(t,{latest}))")
    if seek:
        sound = sound.filter("asetpts", f"PTS-{seek}/TB")
    sound = sound.filter("aresample", settings.sample_rate, **{"async": 1, "first_pts": 0})
    images = ffmpeg.output(
        frames, "pipe:1", f="image2pipe", vcodec="mjpeg", fps_mode="passthrough", threads=1, enc_time_base=time_base,
        huffman="default", **{"q:v": settings.jpeg_quality},
    )  # fmt: skip
    samples = ffmpeg.output(sound, f"pipe:{_PCM}", f="s16le", acodec="pcm_s16le", ac=1)
    outputs = {"": (images, samples), "picture": (images,), "sound": (samples,)}[only]
    words = ffmpeg.merge_outputs(*outputs).compile(cmd=binary)
    return (binary, *_QUIET, *words[1:])


def lacks_index(path: str) -> bool:
    """Return whether a file is an MPEG transport or program stream: a seek there lands anywhere, not on a key frame."""
    try:
        with open_file(path) as file:
            start = file.read(197)
    except OSError:
        return False
    packets = any(start[at : at + 1] == start[at + size : at + size + 1] == b"G" for at, size in ((0, 188), (4, 192)))
    return packets or start.startswith(b"\0\0\1\xba")
