"""Ask ffmpeg how long videos are, by headers or else by packets, without decoding them; remember the answers."""

import json
import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from avcorr.files import open_file, read_file
from avcorr.json_file import parse_json

from ..errors import MediaError
from ..sources.archive import Member, MemoryFile, load_member
from .decoded import FORMATS
from .ffmpeg import find_ffmpeg, limit_memory

_MESSAGE_BYTES = 1 << 18
_MOST_CACHE = 1 << 30
"""Bytes of the answers: those of some millions of videos."""
_ANSWER = TypeAdapter(tuple[str, int, Annotated[float, Field(ge=0, le=2**40)] | str])
_LEAST_BYTES_PER_SECOND = 100
"""Fewer hold no picture and sound; a longer claim is false, and would make clips without end that are not there."""
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_REACHED = re.compile(r"time=(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Place:
    """A file whose length is asked for."""

    name: str
    """Under which the answer is remembered."""
    path: str
    member: Member | None = None


class Durations:
    """Lengths of videos in seconds, each asked for once; the answers are kept in a file of JSON lines.

    Args:
        ffmpeg: the one to ask, "" for that of imageio-ffmpeg; it need not be there where there is nothing to ask.
        cache: the file; a line that is damaged, or that a kill has cut, is ignored.
        workers: how many ffmpeg run at once.
        timeout_seconds: longest time for one.
    """

    def __init__(self, ffmpeg: str, cache: Path, workers: int, timeout_seconds: float) -> None:
        self._ffmpeg, self._cache, self._workers, self._timeout = ffmpeg, cache, workers, timeout_seconds
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], float | str] = {}
        lines = read_file(cache, _MOST_CACHE).splitlines(keepends=True) if cache.exists() else []
        for line in lines:
            with suppress(ValueError):
                name, size, answer = parse_json(line, _ANSWER)
                self._known[name, size] = answer
        if lines and not lines[-1].endswith(b"\n"):
            os.truncate(cache, sum(len(line) for line in lines[:-1]))

    def look(self, name: str, file: MemoryFile) -> None:
        """Measure a member of a compressed archive while it is in memory."""
        self._measure(name, file.size, file.path)

    def measure(self, places: list[Place]) -> dict[str, float | MediaError]:
        """Return the length of each video by its name, or why it cannot be told."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="probe") as executor:
            answers = executor.map(self._of, places)
            try:
                return {place.name: answer for place, answer in zip(places, answers, strict=True)}
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    def _of(self, place: Place) -> float | MediaError:
        try:
            size = place.member.size if place.member else _size(place.path)
            answer = self._known.get((place.name, size))
            if answer is None and place.member is None:
                answer = self._measure(place.name, size, place.path)
            elif answer is None and place.member is not None:
                if place.member.compressed:
                    raise MediaError("no_duration", "the archive changed while it was read; run the command again")
                file = load_member(place.path, place.member)
                answer = self._measure(place.name, size, file.path)
        except FileNotFoundError:
            return MediaError("missing", f"{place.path} is not there")
        except OSError as error:
            return MediaError("unreadable", f"{place.path} cannot be opened ({error.strerror})")
        except MediaError as error:
            return error
        return MediaError("no_duration", answer) if isinstance(answer, str) else answer or 0.0

    def _measure(self, name: str, size: int, path: str) -> float | str:
        answer = self._known.get((name, size))
        if answer is None:
            answer = _length(find_ffmpeg(self._ffmpeg), path, size, self._timeout)
            line = json.dumps([name, size, answer]) + "\n"
            with self._lock:
                self._known[name, size] = answer
                self._cache.parent.mkdir(parents=True, exist_ok=True)
                with self._cache.open("a") as file:
                    file.write(line)
        return answer


def _size(path: str) -> int:
    with open_file(path) as file:
        return os.fstat(file.fileno()).st_size


def _length(binary: str, path: str, size: int, timeout_seconds: float) -> float | str:
    """Return how long a file is by its headers, or by its packets where they tell nothing or what cannot be."""
    said = _run(binary, path, (), timeout_seconds) or ""
    claimed = _seconds(_DURATION.search(said))
    if 0 < claimed * _LEAST_BYTES_PER_SECOND <= size:
        return claimed
    if "Input #0" not in said:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return f"ffmpeg tells no duration: {lines[-1][:300] if lines else 'no answer'}"
    copied = ("-map", "0:V?", "-map", "0:a?", "-c", "copy", "-f", "null", "-")
    progress = _run(binary, path, copied, timeout_seconds)
    if progress is None:
        return f"the headers tell no duration, and to read the file took longer than {timeout_seconds:g} s"
    reached = list(_REACHED.finditer(progress))
    read = _seconds(reached[-1] if reached else None)
    if 0 < read * _LEAST_BYTES_PER_SECOND <= size:
        return read
    what = f"the headers claim {claimed:g} s" if claimed else "the headers tell none"
    return f"no length can be told: {what}, and {size} bytes hold packets of {read:g} s"


def _seconds(match: re.Match[str] | None) -> float:
    return 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3]) if match else 0.0


def _run(binary: str, path: str, output: tuple[str, ...], timeout_seconds: float) -> str | None:
    """Return what ffmpeg says of a file, or how far it comes while it reads it; None where it took too long."""
    told = ("-v", "quiet", "-stats", "-stats_period", "5") if output else ()
    command = [binary, "-nostdin", "-hide_banner", *told, "-protocol_whitelist", "file", "-format_whitelist", FORMATS,
               "-i", f"file:{path}", *output]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        limit_memory(process.pid)
        timer = threading.Timer(timeout_seconds, process.kill)
        timer.start()
        try:
            said = process.stderr.read(_MESSAGE_BYTES).decode(errors="replace")
        finally:
            late = timer.finished.is_set()
            timer.cancel()
            process.kill()
    return None if late else said
