"""Decode with ffmpeg: the only place that knows how.

One process decodes both streams of a video in one pass, because the offset between sound and picture is only
defined inside one demuxer run. It writes JPEGs to its standard output, a line with the presentation time of each to
a second pipe and PCM to a third; all are drained at once, with a limit on time and on what is kept of its messages.
"""

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ffmpeg

from .errors import DecoderError, MediaError
from .settings import ShardSettings

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,kux,asf,asf_o,ogg,"
    "mxf,nut,rm,nsv,dv,gxf,wtv,swf,h264,hevc,m4v,ivf,aac,mp3,wav,flac,amr,ac3,eac3"
)
"""Containers that may be opened. Playlists (HLS, concat, DASH) are not among them: they name other files."""
_MAX_PIXELS = 16384 * 16384
_STDERR_BYTES = 65536
_CHUNK_BYTES = 1 << 18
_ENCRYPTED = re.compile(r"Stream #.*\((?:encv|enca) / ")
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True, slots=True)
class Decoded:
    """What ffmpeg made of one video."""

    jpegs: bytes
    """The frames as JPEGs back to back."""
    frame_times: tuple[float, ...]
    """Presentation time of each frame in seconds on the container's clock, which begins at 0."""
    pcm: bytes
    """Mono little-endian int16; sample 0 lies at the start of the wanted span."""
    messages: str
    """ffmpeg's messages, each line with its level in front: `[error] ...`; the first and last 64 kB."""


def find_ffmpeg(path: str = "") -> str:
    """Return the ffmpeg to use: the one named, or the one that the package imageio-ffmpeg ships.

    Raises:
        DecoderError: when there is none that can be run.
    """
    if not path:
        import imageio_ffmpeg

        try:
            path = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError as error:
            raise DecoderError("no ffmpeg: imageio-ffmpeg has none here; --set shard.ffmpeg=PATH names one") from error
    ffmpeg_version(path)
    return path


@cache
def ffmpeg_version(binary: str) -> str:
    """Return the version that an ffmpeg states of itself. Raises DecoderError when it cannot run."""
    try:
        result = subprocess.run([binary, "-version"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DecoderError(f"ffmpeg {binary!r} cannot be run ({error}); set shard.ffmpeg to one that can") from error
    match = re.match(r"ffmpeg version (\S+)", result.stdout.decode(errors="replace"))
    if result.returncode or not match:
        raise DecoderError(f"{binary!r} is no ffmpeg: `-version` ended with {result.returncode}; set shard.ffmpeg")
    return match[1]


@cache
def _time_base_option(binary: str) -> str:
    """Return the value of -enc_time_base that means "as the source": `demux` from ffmpeg 7 on, -1 before."""
    match = re.match(r"n?(\d+)\.", ffmpeg_version(binary))
    return "-1" if match and int(match[1]) < 7 else "demux"


def decode_command(
    binary: str, path: str, settings: ShardSettings, *, seek: float, duration: float, times_fd: int, pcm_fd: int
) -> list[str]:
    """Return the argument list that decodes one span of one video.

    Frames are chosen, never made: the first in each bucket of 1/frames_per_second on the video's own clock, so
    with a variable frame rate no time is invented (`fps=` would lay a new grid). Sound starts at `seek` exactly:
    `first_pts` pads a late start with silence and trims an early one.
    """
    rate, side = settings.frames_per_second, settings.short_side
    span = {"ss": seek} if seek else {}
    source = ffmpeg.input(
        f"file:{path}", **span, t=duration, threads=1, copyts=None, start_at_zero=None, max_pixels=_MAX_PIXELS,
        protocol_whitelist="file", format_whitelist=_FORMATS,
    )  # fmt: skip
    chosen = "isnan(prev_selected_t)+gt({},{})".format(
        *(f"floor(({clock}-{seek})*{rate}+1e-6)" for clock in ("t", "prev_selected_t"))
    )
    wide = "gte(iw*sar,ih)"
    frames = (
        source["V:0"]
        .filter("select", chosen)
        .filter(
            "scale",
            w=f"if({wide},2*round({side}*iw*sar/ih/2),{side})",
            h=f"if({wide},{side},2*round({side}*ih/(iw*sar)/2))",
            flags="area",
        )
        .filter("setsar", 1)
        .filter("settb", "AVTB")
        .filter("metadata", mode="add", key="k", value=1)
        .filter("metadata", mode="print", key="k", file=f"pipe:{times_fd}", direct=1)
    )
    first_sample = round(seek * settings.sample_rate)
    sound = source["a:0"].filter("aresample", settings.sample_rate, **{"async": 1, "first_pts": first_sample})
    images = ffmpeg.output(
        frames, "pipe:1", f="image2pipe", vcodec="mjpeg", fps_mode="passthrough", threads=1,
        enc_time_base=_time_base_option(binary), huffman="default", **{"q:v": settings.jpeg_quality},
    )  # fmt: skip
    samples = ffmpeg.output(sound, f"pipe:{pcm_fd}", f="s16le", acodec="pcm_s16le", ac=1)
    quiet = ("-nostdin", "-hide_banner", "-nostats", "-v", "level+info", "-filter_complex_threads", "1", "-bitexact")
    command: list[str] = ffmpeg.merge_outputs(images, samples).global_args(*quiet).compile(cmd=binary)
    return command


def decode(binary: str, path: Path | str, settings: ShardSettings, *, seek: float = 0.0, duration: float) -> Decoded:
    """Decode [seek, seek + duration) seconds of a video.

    Raises:
        MediaError: with the code `timeout`, `not_media`, `no_video`, `no_audio` or `undecodable`.
    """
    times_read, times_write = os.pipe()
    pcm_read, pcm_write = os.pipe()
    try:
        command = decode_command(
            binary, os.fspath(path), settings, seek=seek, duration=duration, times_fd=times_write, pcm_fd=pcm_write
        )
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(times_write, pcm_write), process_group=0,
        )  # fmt: skip
    except BaseException:
        for descriptor in (times_read, times_write, pcm_read, pcm_write):
            os.close(descriptor)
        raise
    _running.add(process)
    os.close(times_write)
    os.close(pcm_write)
    assert process.stdout is not None and process.stderr is not None
    buffers = {descriptor: bytearray() for descriptor in (process.stdout.fileno(), times_read, pcm_read)}
    try:
        messages = _drain(process, buffers, settings.timeout_seconds)
        jpegs, times, pcm = (bytes(buffer) for buffer in buffers.values())
    finally:
        _end(process)
        os.close(times_read)
        os.close(pcm_read)
    if process.returncode or _ENCRYPTED.search(messages):
        raise _failure(process.returncode, messages)
    return Decoded(jpegs, _parse_times(times), pcm, messages)


def _drain(process: subprocess.Popen[bytes], buffers: Mapping[int, bytearray], timeout_seconds: float) -> str:
    """Read all pipes until they end; return ffmpeg's messages, shortened in the middle where they are long."""
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_seconds
    head, tail = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for descriptor in (*buffers, process.stderr.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise _timeout(timeout_seconds, head + tail)
            for key, _ in selector.select(remaining):
                data = os.read(key.fd, _CHUNK_BYTES)
                if not data:
                    selector.unregister(key.fd)
                elif key.fd in buffers:
                    buffers[key.fd] += data
                elif len(head) < _STDERR_BYTES:
                    head += data
                else:
                    tail = (tail + data)[-_STDERR_BYTES:]
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise _timeout(timeout_seconds, head + tail) from error
    return bytes(head + tail).decode(errors="replace")


def _timeout(timeout_seconds: float, messages: bytearray) -> MediaError:
    message = f"took longer than shard.timeout_seconds = {timeout_seconds:g} and was killed"
    return MediaError("timeout", message, exit_code=-signal.SIGKILL, stderr=_last_lines(bytes(messages)))


def stop_all() -> None:
    """Kill every ffmpeg that runs now; those who wait for one get a MediaError."""
    for process in tuple(_running):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no process of ffmpeg's group behind, whatever happened."""
    _running.discard(process)
    if process.returncode is None:  # not reaped yet, so its id is still its own
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _failure(exit_code: int, messages: str) -> MediaError:
    tail = _last_lines(messages.encode())
    if _ENCRYPTED.search(messages):
        code, what = "encrypted", "a stream is encrypted"
    elif "Input #0" not in messages:
        code, what = "not_media", "ffmpeg finds no container it knows, or a damaged one"
    elif ": Video: " not in messages or "V:0" in tail and "matches no streams" in tail:
        code, what = "no_video", "there is no video stream"
    elif ": Audio: " not in messages:
        code, what = "no_audio", "there is no audio stream"
    else:
        code, what = "undecodable", "ffmpeg gave up"
    last = tail.rpartition("\n")[2]
    return MediaError(code, f"{what} (exit code {exit_code}: {last})", exit_code=exit_code, stderr=tail)


def _last_lines(messages: bytes, count: int = 5) -> str:
    lines = [line for line in messages.decode(errors="replace").splitlines() if "[info]" not in line and line.strip()]
    return "\n".join(line[:300] for line in lines[-count:])


def _parse_times(text: bytes) -> tuple[float, ...]:
    """Return the seconds in lines such as `frame:7 pts:1760000 pts_time:1.76`; pts counts microseconds (AVTB)."""
    return tuple(int(pts) / 1e6 for pts in re.findall(rb"^frame:\d+\s+pts:(-?\d+)", text, re.MULTILINE))
