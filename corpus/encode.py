"""Encode one clip with one ffmpeg process: raw frames through its standard input, sound through a second pipe."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from avcorr.pipeline.errors import CorpusError

from .rendered_clip import Look
from .sounds import CLIP_SECONDS, SAMPLE_RATE
from .subject import FRAMES_PER_SECOND

_STDERR_LINES = 5


def encode_command(ffmpeg: str, out: Path, look: Look, sound_fd: int) -> list[str]:
    """Return the argument list that encodes H.264 and AAC into an mp4 with equal bytes for equal input.

    The fastest preset and AAC coder: at this size ffmpeg would otherwise cost more than drawing and synthesis.
    """
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{look.width}x{look.height}", "-r", str(FRAMES_PER_SECOND)]
    sound = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1"]
    picture = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-qp",
        "26",
        "-g",
        "50",
        "-pix_fmt",
        "yuv420p",
    ]
    single = ["-threads", "1", "-x264-params", "threads=1:lookahead-threads=1:me=dia:subme=0:scenecut=0"]
    same = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"]
    return [
        ffmpeg, "-nostdin", "-hide_banner", "-v", "error", "-y", "-filter_threads", "1",
        *raw, "-i", "pipe:0", *sound, "-i", f"pipe:{sound_fd}", "-map", "0:v", "-map", "1:a", *picture, *single,
        "-c:a", "aac", "-aac_coder", "fast", "-b:a", "40k", *same, "-t", str(CLIP_SECONDS), "-f", "mp4", os.fspath(out),
    ]  # fmt: skip


def encode(ffmpeg: str, out: Path, look: Look, frames: Iterator[bytes], waveform: np.ndarray) -> None:
    """Write one mp4: under a temporary name beside it first, then renamed.

    Raises:
        CorpusError: when ffmpeg cannot be started or fails, with its last words.
    """
    partial = out.with_name(f".{out.name}.partial")
    sound_read, sound_write = os.pipe()
    command = encode_command(ffmpeg, partial, look, sound_read)
    try:
        # A process group of its own: an interrupt from the terminal is for us, and we end ffmpeg.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            pass_fds=(sound_read,), process_group=0,
        )  # fmt: skip
    except OSError as error:
        os.close(sound_write)
        raise CorpusError(f"cannot start ffmpeg {ffmpeg!r}: {error}") from error
    finally:
        os.close(sound_read)
    assert process.stdin is not None and process.stderr is not None
    feeder = threading.Thread(target=_feed, args=(sound_write, waveform.tobytes()), daemon=True)
    feeder.start()
    try:
        # When ffmpeg ends early the pipe breaks; its exit code and messages say why.
        with suppress(BrokenPipeError):
            for frame in frames:
                process.stdin.write(frame)
        with suppress(BrokenPipeError):
            process.stdin.close()
        messages = process.stderr.read().decode(errors="replace").strip().splitlines()
        if code := process.wait():
            last = " | ".join(messages[-_STDERR_LINES:])
            raise CorpusError(f"ffmpeg ended with {code} while writing {out}: {last}; command: {' '.join(command)}")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, out)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stderr.close()
        feeder.join()
        partial.unlink(missing_ok=True)


def _feed(descriptor: int, data: bytes) -> None:
    """Write all of `data` to a pipe and close it; a reader that has gone away is the other side's error to report."""
    with suppress(BrokenPipeError), open(descriptor, "wb") as pipe:
        pipe.write(data)
