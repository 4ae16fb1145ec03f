"""The argument list with which ffmpeg decodes one span of one video."""

from dataclasses import dataclass
from typing import Literal

import ffmpeg

from avcorr.files import open_file

from ..settings import ShardSettings
from .decoded import BESIDE_EARLY, FORMATS, SOUND_AROUND, SoundFile
from .gamut import Gamut, table_filter

Only = Literal["", "picture", "sound"]
_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-v", "level+info")
_EARLY = 20.0
"""Seconds before the span at which reading begins where a seek does not land on a key frame."""


_ON_WHITE = (
    "format=rgba,split[over][same];[same]drawbox=c=white:t=fill:replace=1[white];[white][over]overlay=format=rgb"
)
_MORE = 0.01
"""Seconds of a sound's own file that are read behind the span, for the two clocks' samples lie apart."""
_INPUT, _BESIDE = "file:/input", "file:/beside"
"""What stands for the video and the sound's file until the list is made: ffmpeg-python takes only UTF-8."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one file needs beyond what every file needs: known when ffmpeg has printed what is in it."""

    tags: str = ""
    """What the file does not say of its colours, as options of `setparams`."""
    gamut: Gamut = ""
    """Which table its colours need."""
    interlaced: bool = False
    mix: str = ""
    """How its channels become one, as an option of `pan`; "" where ffmpeg knows how."""
    picture: int | None = None
    """Number of the stream to take; None for the first that is no cover."""
    sound: int | None = None
    """Number of the stream to take; None for the first."""
    without: frozenset[tuple[str, int]] = frozenset()
    """Kinds and numbers of streams that are known to be empty."""
    grid: int | None = None
    """Number of the group of tiles that are one picture, in place of a stream."""
    transparent: bool = False
    """Whether the picture is laid on white, as viewers show it."""
    packets: bool = False
    """Whether the times of the sound's packets are wanted, for it changes in mid-file."""
    size: tuple[int, int] | None = None
    """Size into which every frame is fitted, with black bars; None for the size of the first frame."""


@dataclass(frozen=True, slots=True)
class Pipes:
    """Descriptors that ffmpeg writes to, beside the JPEGs on its standard output."""

    times: int
    """Times of the chosen frames."""
    all_times: int
    """Times of all frames."""
    pcm: int
    packets: int
    """Time and size of each packet of the sound."""


def decode_command(
    binary: str,
    path: str,
    settings: ShardSettings,
    *,
    seek: float,
    duration: float,
    pipes: Pipes,
    time_base: str,
    max_pixels: int,
    plan: Plan,
    only: Only = "",
    container: str = "",
    beside: SoundFile | None = None,
) -> list[str]:
    """Return the argument list that decodes one span of one video.

    Each stream has a filter graph of its own: where one changes in mid-file, ffmpeg makes that graph anew and leaves
    the other alone. Reading begins before `seek` where that is needed; nothing that lies there is chosen.

    Args:
        binary: the ffmpeg.
        path: the video.
        settings: size, quality and rates.
        seek: start of the span in seconds.
        duration: its length in seconds.
        pipes: where the results go.
        time_base: what this ffmpeg calls "as the source" for -enc_time_base.
        max_pixels: of the largest coded picture.
        plan: what this file needs.
        only: one of the streams, where the file has or needs no other.
        container: what the file is, where that is known; it need not be one of FORMATS then.
        beside: the file that the sound is taken from in place of the video.
    """
    begin = _begin(path, seek)
    span: dict[str, float | str] = {"ss": begin} if begin else {}
    if container:
        span["f"] = container
    if plan.size:
        span["reinit_filter:v"] = 0
    source = ffmpeg.input(
        _INPUT, **span, t=duration + seek - begin, threads=1, copyts=None, start_at_zero=None,
        max_pixels=max_pixels, protocol_whitelist="file", format_whitelist=container or FORMATS,
    )  # fmt: skip
    filters = ",".join(_picture(settings, seek, begin, pipes, plan))
    picture, graph = source["V:0" if plan.picture is None else str(plan.picture)], {"vf": filters}
    if plan.grid is not None:
        picture, graph = source, {"filter_complex": f"[0:g:{plan.grid}]{filters}[whole]", "map": "[whole]"}
        time_base = "filter"  # a group has none of its own
    images = ffmpeg.output(
        picture, "pipe:1", f="image2pipe", vcodec="mjpeg", fps_mode="passthrough", enc_time_base=time_base,
        huffman="default", threads=1, filter_threads=1, **graph, **{"q:v": settings.jpeg_quality},
    )  # fmt: skip
    heard, at = source, seek
    if beside:  # it has its own clock, on which the span begins earlier or later, even before 0
        at = seek - beside.offset
        first = _begin(beside.path, max(0.0, at - BESIDE_EARLY))
        heard = ffmpeg.input(
            _BESIDE, **({"ss": first} if first else {}), t=max(duration + at - first, 0.0) + _MORE, threads=1,
            protocol_whitelist="file", format_whitelist=FORMATS,
        )  # fmt: skip
    target, muxer = f"pipe:{pipes.pcm}", "s16le"
    if plan.packets:
        target, muxer = f"[f=s16le]{target}|[f=framecrc]pipe:{pipes.packets}", "tee"
    samples = ffmpeg.output(
        heard["a:0" if plan.sound is None else str(plan.sound)], target, f=muxer, acodec="pcm_s16le", ac=1,
        filter_threads=1, af=",".join(_sound(settings, at, duration, plan)),
    )  # fmt: skip
    outputs = {"": (images, samples), "picture": (images,), "sound": (samples,)}[only]
    words = ffmpeg.merge_outputs(*outputs).compile(cmd=binary)
    names = {_INPUT: f"file:{path}", _BESIDE: f"file:{beside.path}" if beside else ""}
    return [binary, *_QUIET, *(names.get(word, word) for word in words[1:])]


def _begin(path: str, seek: float) -> float:
    """Return the second of a file at which reading begins so that nothing after `seek` is missed."""
    return max(0.0, seek - _EARLY) if seek and lacks_index(path) else seek


def _picture(settings: ShardSettings, seek: float, begin: float, pipes: Pipes, plan: Plan) -> tuple[str, ...]:
    """Return the filters of the picture.

    Frames are chosen, never made: the first in each bucket of 1/frames_per_second on the video's own clock, so
    with a variable frame rate no time is invented (`fps=` would lay a new grid). Times are microseconds before the
    choice, and a microsecond early is in time. A JPEG's colours are BT.601's at full range (JFIF 1.02), whatever the
    video's are.
    """
    now, before = (f"floor(({clock}-{seek}+1e-6)*{settings.frames_per_second})" for clock in ("t", "prev_selected_t"))
    chosen = f"isnan(prev_selected_t)+gt({now},{before})"
    if begin < seek:
        chosen = f"gte(t,{seek}-5e-7)*({chosen})"
    bars: tuple[str, ...] = ()
    if plan.size:
        wide, high = plan.size
        whole = f"gte(iw*sar*{high},ih*{wide})"
        across = f"if({whole},{wide},2*round({high}*iw*sar/ih/2))"
        down = f"if({whole},2*round({wide}*ih/(iw*sar)/2),{high})"
        bars = (f"pad={wide}:{high}:-1:-1:eval=frame",)
    else:
        side = settings.short_side
        across = f"if(gte(iw*sar,ih),2*round({side}*iw*sar/ih/2),{side})"
        down = f"if(gte(iw*sar,ih),{side},2*round({side}*ih/(iw*sar)/2))"
    size = f"scale=w='{across}':h='{down}':flags=area+accurate_rnd+full_chroma_inp+full_chroma_int"
    size += ":eval=frame" if plan.size else ""  # one graph for all sizes: another would begin to choose anew
    colours = "out_color_matrix=bt601:out_range=full"
    scale: tuple[str, ...] = (f"{size}:{colours}",)
    if plan.gamut:
        scale = (size, "format=gbrp16le", f"lut3d={table_filter(plan.gamut, in_graph=True)}", f"scale={colours}")
    return (
        *((f"setparams={plan.tags}",) if plan.tags else ()),
        *((_ON_WHITE,) if plan.transparent else ()),
        "settb=AVTB",
        "metadata=mode=add:key=k:value=1",
        f"metadata=mode=print:key=k:file=pipe\\\\:{pipes.all_times}",
        *(("bwdif=mode=send_frame:deint=interlaced", "settb=AVTB") if plan.interlaced else ()),
        f"select='{chosen}'",
        f"metadata=mode=print:key=k:file=pipe\\\\:{pipes.times}",
        *scale,
        "format=yuvj420p",
        *bars,
        "setsar=1",
    )


def _sound(settings: ShardSettings, seek: float, duration: float, plan: Plan) -> tuple[str, ...]:
    """Return the filters of the sound.

    It starts at `seek` exactly: `first_pts` pads a late start with silence and trims an early one; it counts samples
    of the source's rate, which is not known here, so the sound's clock is set to 0 at `seek` first. Where the sound
    changes in mid-file this would be done anew; its packets' times tell where it lies then.
    """
    earliest, latest = seek - SOUND_AROUND[0], seek + duration + SOUND_AROUND[1]
    return (
        f"aselect='not(lt(t,{earliest})+gt(t,{latest}))'",
        *((f"pan={plan.mix}",) if plan.mix else ()),
        *((f"asetpts=PTS{-seek:+}/TB",) if seek else ()),
        f"aresample={settings.sample_rate}:async=1" + ("" if plan.packets else ":first_pts=0"),
    )


def lacks_index(path: str) -> bool:
    """Return whether a file is an MPEG transport or program stream: a seek there lands anywhere, not on a key frame."""
    try:
        with open_file(path) as file:
            start = file.read(197)
    except OSError:
        return False
    packets = any(start[at : at + 1] == start[at + size : at + size + 1] == b"G" for at, size in ((0, 188), (4, 192)))
    return packets or start.startswith(b"\0\0\1\xba")
