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
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cache

from avcorr.shards.format.jpeg import END, START

from ..errors import DecoderError, MediaError
from ..settings import ShardSettings
from .command import Only, Pipes, Plan, decode_command
from .decoded import JUMP_SECONDS, MAX_PIXELS, MEMORY_BYTES, Decoded, SoundFile
from .messages import (
    Changes,
    changes,
    failure,
    has_errors,
    is_encrypted,
    last_lines,
    next_plan,
    parse_header,
    parse_packets,
    parse_times,
    plan_for,
    source_facts,
)
from .packets import lay_packets
from .pictures import jpeg_size

_STDERR_BYTES = 65536
_PIPE_BYTES = 1 << 20
"""Size of the pipes: fewer switches between ffmpeg and this process. The kernel may grant less."""
_BETWEEN_FRAMES = END + START
OLDEST = (5, 1)
"""Version of the oldest ffmpeg that has all options used here."""
_PLANS = 12
"""Most runs for one clip: what a header, an empty stream or a change in mid-file asks for is known one by one."""
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """The backend that runs an ffmpeg for each video."""

    binary: str
    max_pixels: int = MAX_PIXELS
    """Of the largest coded picture; a larger one is refused by its header."""
    memory_bytes: int = MEMORY_BYTES
    """Address space that the process may fill."""

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
        beside: SoundFile | None = None,
    ) -> Decoded:
        """Decode [seek, seek + duration) seconds of a video.

        Args:
            path: the video.
            settings: size, quality and rates.
            seek, duration: the span, seconds.
            only: one of the streams; the other is left empty and need not be there.
            container: the demuxer, where it is known; it need not be one of FORMATS then.
            beside: the file that the sound is taken from in place of the video.

        Raises:
            MediaError: with the code `timeout`, `not_media`, `no_video`, `no_audio`, `encrypted` or `undecodable`.
        """
        plan, span = Plan(), (path, settings, seek, duration, only, container, beside)
        for _ in range(_PLANS):
            try:
                result = _run(self, plan, *span)
            except _OtherPlanError as other:
                plan = other.plan
                continue
            change = changes(result.messages, plan)
            size = jpeg_size(result.jpegs) if change.size and result.jpegs else None
            if (plan.size or not size) and (plan.packets or not change.sound):
                return self._decoded(result, plan, change, settings)
            plan = replace(plan, size=plan.size or size, packets=plan.packets or change.sound)
        raise MediaError("undecodable", f"{_PLANS} runs of ffmpeg found no stream that gives anything")

    def _decoded(self, result: "_Result", plan: Plan, change: Changes, settings: ShardSettings) -> Decoded:
        frames, chosen = split_jpegs(result.jpegs), parse_times(result.times)
        if len(frames) != len(chosen):
            raise MediaError("undecodable", f"ffmpeg wrote {len(frames)} frames but {len(chosen)} times")
        all_times = parse_times(result.all_times)
        times = _until_jump(all_times)
        anew = len(times) < len(all_times)
        kept = sum(time <= times[-1] for time in chosen) if anew else len(chosen)
        return Decoded(
            jpegs=tuple(frames[:kept]), frame_times=chosen[:kept], source_times=times,
            pcm=result.laid_pcm(settings.sample_rate), damaged=has_errors(result.messages), anew=anew,
            changed=change.sound or change.picture or plan.size is not None or anew,
            **source_facts(result.messages, plan),
        )  # fmt: skip


def find_ffmpeg(path: str = "") -> str:
    """Return the ffmpeg to use: the one named, or the one that the package imageio-ffmpeg ships.

    Raises:
        DecoderError: when there is none that can be run, or it is older than OLDEST.
    """
    if not path:
        import imageio_ffmpeg

        try:
            path = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError as error:
            raise DecoderError("no ffmpeg: imageio-ffmpeg has none here; --set shard.ffmpeg=PATH names one") from error
    version = ffmpeg_version(path)
    match = re.match(r"n?(\d+)\.(\d+)", version)  # a build of a day is named otherwise
    if match and (int(match[1]), int(match[2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise DecoderError(
            f"ffmpeg {path!r} is {version}, which is too old: set shard.ffmpeg to {oldest} or newer, or leave it empty "
            "for the one of imageio-ffmpeg"
        )
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


class _OtherPlanError(Exception):
    """What ffmpeg has printed of the file asks for other arguments."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.plan = plan


@dataclass(frozen=True, slots=True)
class _Result:
    """What an ffmpeg wrote."""

    jpegs: bytes
    times: bytes
    all_times: bytes
    pcm: bytes
    packets: bytes
    messages: str

    def laid_pcm(self, sample_rate: int) -> bytes:
        """Return the sound from the start of the span on."""
        return lay_packets(self.pcm, parse_packets(self.packets), sample_rate) if self.packets else self.pcm

    def lacks(self, only: Only) -> str:
        """Return the reason code of the stream that was to give something and gave nothing, "" where all did."""
        if not self.jpegs and only != "sound":
            return "no_frames"
        return "no_samples" if not self.pcm and only != "picture" else ""


def _run(
    backend: Ffmpeg,
    plan: Plan,
    path: str,
    settings: ShardSettings,
    seek: float,
    duration: float,
    only: Only,
    container: str,
    beside: SoundFile | None,
) -> _Result:
    """Run ffmpeg. Raises MediaError, and _OtherPlanError as soon as it is known that this file needs another plan."""
    pipes = [os.pipe() for _ in fields(Pipes)]
    reads, writes = [read for read, _ in pipes], [write for _, write in pipes]
    try:
        command = decode_command(
            backend.binary, path, settings, seek=seek, duration=duration, pipes=Pipes(*writes),
            time_base=_time_base_option(backend.binary), max_pixels=backend.max_pixels, plan=plan, only=only,
            container=container, beside=beside,
        )  # fmt: skip
        # With little address space, none goes to heaps of single threads, which are 64 MiB each.
        heaps = {} if backend.memory_bytes >= MEMORY_BYTES else {"MALLOC_ARENA_MAX": "1"}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=writes,
            process_group=0, env={**os.environ, **heaps},
        )  # fmt: skip
    except BaseException:
        _close([*reads, *writes])
        raise
    _running.add(process)
    limit_memory(process.pid, backend.memory_bytes)
    _close(writes)
    assert process.stdout is not None and process.stderr is not None
    buffers = {descriptor: bytearray() for descriptor in (process.stdout.fileno(), *reads)}

    still = bool(container)

    def check(messages: str) -> bool:
        header = parse_header(messages)
        needed = plan_for(header, settings, still=still, without=plan.without)
        if needed != replace(plan, size=None, packets=False):
            raise _OtherPlanError(replace(needed, size=plan.size, packets=plan.packets))
        return header.complete

    try:
        messages = _drain(process, buffers, settings.timeout_seconds, check)
        jpegs, times, all_times, pcm, packets = (bytes(buffer) for buffer in buffers.values())
    finally:
        _end(process)
        _close(reads)
    result = _Result(jpegs, times, all_times, pcm, packets, messages)
    error = failure(process.returncode, messages, beside) if process.returncode or is_encrypted(messages) else None
    if error and not plan.size and jpegs and changes(messages, plan).picture:  # the encoder refused what overlaps
        raise _OtherPlanError(replace(plan, size=jpeg_size(jpegs)))
    code = error.code if error else result.lacks(only)
    other = next_plan(code, parse_header(messages), plan, settings, still=still) if code else None
    if other is not None:
        raise _OtherPlanError(other)
    if error is not None:
        raise error
    return result


def _until_jump(times: tuple[float, ...]) -> tuple[float, ...]:
    """Return times up to where the clock begins anew: files that were joined.

    Frames that change places are no jump, nor is a single one that a damaged stream gives late.
    """
    following = zip(times, times[1:], (*times[2:], *times[-1:]), strict=False)
    back = (after < before - JUMP_SECONDS and later < before for before, after, later in following)
    return times[: next((place for place, jumped in enumerate(back, 1) if jumped), None)]


def limit_memory(pid: int, most: int = MEMORY_BYTES) -> None:
    """Let an allocation fail before the machine's memory is full; only Linux can do it to a process that runs."""
    if sys.platform == "linux" and hasattr(resource, "prlimit"):
        with suppress(OSError):  # it has ended, or may have less already
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _drain(
    process: subprocess.Popen[bytes],
    buffers: Mapping[int, bytearray],
    timeout_seconds: float,
    check: Callable[[str], bool],
) -> str:
    """Read all pipes until they end; return ffmpeg's messages, shortened in the middle where they are long.

    `check` gets the first messages until it returns True.
    """
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_seconds
    head, tail, checked = bytearray(), bytearray(), False
    with selectors.DefaultSelector() as selector:
        for descriptor in (*buffers, process.stderr.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
            with suppress(OSError, AttributeError):  # more than a user may have; only Linux knows it
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
                    checked = checked or b"Stream mapping:" in head and check(head.decode(errors="replace"))
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
    parts = [first, *(START + part for part in rest)]
    return [part + END for part in parts[:-1]] + parts[-1:]
