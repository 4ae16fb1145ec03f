"""Decode with ffmpeg: the only place that runs it.

One process decodes both streams of a video in one pass, because the offset between sound and picture is only
defined inside one demuxer run. It writes JPEGs to its standard output, presentation times to two more pipes and PCM
to a fourth; all are drained at once, with a limit on time and on what is kept of its messages.
"""

import fcntl
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from avcorr.shards.format.clip import JPEG_END, JPEG_START

from ..errors import DecoderError, MediaError
from ..settings import ShardSettings
from .command import Only, decode_command
from .decoded import MEMORY_BYTES, Decoded
from .messages import failure, has_errors, is_encrypted, last_lines, parse_times, source_facts

_STDERR_BYTES = 65536
_PIPE_BYTES = 1 << 20
"""Size of the pipes: fewer switches between ffmpeg and this process. The kernel may grant less."""
_BETWEEN_FRAMES = JPEG_END + JPEG_START
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """The backend that runs an ffmpeg for each video."""

    binary: str

    @property
    def version(self) -> str:
        """Version that the ffmpeg states of itself."""
        return ffmpeg_version(self.binary)

    def decode(
        self,
        path: str,
        settings: ShardSettings,
        *,
        seek: float = 0.0,
        duration: float,
        only: Only = "",
        container: str = "",
    ) -> Decoded:
        """Decode [seek, seek + duration) seconds of a video.

        Args:
            path: the video.
            settings: size, quality and rates.
            seek, duration: the span, seconds.
            only: one of the streams; the other is left empty and need not be there.
            container: the demuxer, where it is known; it need not be one of FORMATS then.

        Raises:
            MediaError: with the code `timeout`, `not_media`, `no_video`, `no_audio`, `encrypted` or `undecodable`.
        """
        jpegs, times, all_times, pcm, messages = _run(self.binary, path, settings, seek, duration, only, container)
        frames, chosen = split_jpegs(jpegs), parse_times(times)
        if len(frames) != len(chosen):
            raise MediaError("undecodable", f"ffmpeg wrote {len(frames)} frames but {len(chosen)} times")
        return Decoded(
            jpegs=tuple(frames), frame_times=chosen, source_times=parse_times(all_times), pcm=pcm,
            damaged=has_errors(messages), **source_facts(messages),
        )  # fmt: skip


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


def _run(
    binary: str, path: str, settings: ShardSettings, seek: float, duration: float, only: Only, container: str
) -> tuple[bytes, bytes, bytes, bytes, str]:
    """Return JPEGs, times of the chosen frames, times of all frames, PCM and messages. Raises MediaError."""
    pipes = [os.pipe() for _ in range(3)]  # times of the chosen frames, times of all frames, sound
    reads, writes = [read for read, _ in pipes], [write for _, write in pipes]
    try:
        command = decode_command(
            binary, path, settings, seek=seek, duration=duration, pipes=(writes[0], writes[1], writes[2]),
            time_base=_time_base_option(binary), only=only, container=container,
        )  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=writes,
            process_group=0,
        )  # fmt: skip
    except BaseException:
        _close([*reads, *writes])
        raise
    _running.add(process)
    limit_memory(process.pid)
    _close(writes)
    assert process.stdout is not None and process.stderr is not None
    buffers = {descriptor: bytearray() for descriptor in (process.stdout.fileno(), *reads)}
    try:
        messages = _drain(process, buffers, settings.timeout_seconds)
        jpegs, times, all_times, pcm = (bytes(buffer) for buffer in buffers.values())
    finally:
        _end(process)
        _close(reads)
    if process.returncode or is_encrypted(messages):
        raise failure(process.returncode, messages)
    return jpegs, times, all_times, pcm, messages


def limit_memory(pid: int) -> None:
    """Let an allocation fail before the machine's memory is full; only Linux can do it to a process that runs."""
    if sys.platform == "linux":
        with suppress(OSError):  # it has ended, or may have less already
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _drain(process: subprocess.Popen[bytes], buffers: Mapping[int, bytearray], timeout_seconds: float) -> str:
    """Read all pipes until they end; return ffmpeg's messages, shortened in the middle where they are long."""
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_seconds
    head, tail = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for descriptor in (*buffers, process.stderr.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
            with suppress(OSError):  # more than a user may have
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise _timeout(timeout_seconds, head + tail)
            for key, _ in selector.select(remaining):
                data = os.read(key.fd, _PIPE_BYTES)
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
    return MediaError("timeout", message, exit_code=-signal.SIGKILL, stderr=last_lines(bytes(messages)))


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
