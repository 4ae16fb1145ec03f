"""Decode in worker processes that may crash, hang or eat memory: the clip that did it is lost, and nothing else.

A thread takes a worker, sends it one source and waits, for as long as `shard.timeout_seconds`. Messages are JSON and
plain bytes over a pipe of the worker's own: nothing that native code could have altered is unpickled.
"""

import json
import multiprocessing
import os
import resource
import signal
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from avcorr.shards.format.clip import Clip, ClipMetadata
from avcorr.signals import leave_signals_to_parent

from ..errors import DecoderError, MediaError
from ..settings import ShardSettings
from ..sources.source import Source
from .decode import read_clip
from .decoded import MEMORY_BYTES, Backend

_CLIPS_BEFORE_RENEWAL = 500
"""A worker is replaced after so many clips, which bounds what native code may leak."""
_START_SECONDS = 60.0
_GRACE_SECONDS = 5.0
"""A worker whose parent is gone ends itself so long after the time that a clip may take."""


class Workers:
    """The decoder that runs PyAV in processes, one for each thread that asks at once.

    Args:
        settings: how clips are made.

    Raises:
        DecoderError: when the package av is not installed.
    """

    def __init__(self, settings: ShardSettings) -> None:
        self._settings = settings
        self.version = make_backend().version
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def read(self, source: Source) -> Clip:
        """Return the clip of a source.

        Raises:
            MediaError: as `read_clip` does, or with the code `timeout` or `crashed`.
        """
        worker = self._take()
        healthy = False
        try:
            reply = worker.ask(source, self._settings.timeout_seconds)
            healthy = worker.served < _CLIPS_BEFORE_RENEWAL
        finally:
            self._give_back(worker, healthy)
        if isinstance(reply, MediaError):
            raise reply
        return reply

    def stop(self) -> None:
        """Kill every worker."""
        with self._lock:
            for worker in self._all:
                worker.kill()

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            for worker in self._all:
                worker.end()
            self._all.clear()
            self._idle.clear()

    def _take(self) -> "_Worker":
        with self._lock:
            if self._idle:
                return self._idle.pop()
            worker = _Worker(self._settings)
            self._all.add(worker)
        worker.wait_until_ready()
        return worker

    def _give_back(self, worker: "_Worker", healthy: bool) -> None:
        with self._lock:
            if healthy:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.end()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, settings: ShardSettings) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a program with threads may deadlock
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings.model_dump_json()), daemon=True)
        self._process.start()
        theirs.close()
        self.served = 0

    def wait_until_ready(self) -> None:
        """Wait for the imports, which are no clip's time. Raises DecoderError when they fail."""
        try:
            if self._pipe.poll(_START_SECONDS) and self._pipe.recv_bytes() == b"ready":
                return
        except (EOFError, OSError):
            pass
        self.end()
        raise DecoderError(f"a worker process of shard.decoder pyav did not start (exit code {self._process.exitcode})")

    def ask(self, source: Source, timeout_seconds: float) -> Clip | MediaError:
        """Return the clip, or why there is none. Raises MediaError when the worker does not live to say."""
        self.served += 1
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.kill()

        limit = threading.Timer(timeout_seconds, give_up)  # also where it stands still in the middle of an answer
        limit.daemon = True
        limit.start()
        try:
            self._pipe.send_bytes(json.dumps(asdict(replace(source, columns=()))).encode())
            head = json.loads(answer := self._pipe.recv_bytes())
            if "code" in head:
                return MediaError(head["code"], head["message"], exit_code=head["exit_code"], stderr=head["stderr"])
            metadata = ClipMetadata.from_json(answer)
            return Clip(metadata, self._pipe.recv_bytes(), self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self._process.join(_GRACE_SECONDS)
            if late.is_set():
                message = f"took longer than shard.timeout_seconds = {timeout_seconds:g} and was killed"
                raise MediaError("timeout", message, exit_code=-signal.SIGKILL) from error
            code = self._process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise MediaError("crashed", f"the decoder's process died ({name})", exit_code=code) from error
        finally:
            limit.cancel()

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process, wait for it and close the pipe."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def make_backend() -> Backend:
    """Return what the workers decode with. Raises DecoderError when the package av is not installed."""
    from .pyav import Pyav

    return Pyav()


def _serve(pipe: Connection, settings_json: str) -> None:
    """Answer until the other end of the pipe closes: the main function of a worker."""
    settings = ShardSettings.model_validate_json(settings_json)
    leave_signals_to_parent()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory()
    backend = make_backend()
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"ready")
        while True:
            values = json.loads(pipe.recv_bytes())
            source = Source(**values | {"labels": tuple(values["labels"])})
            signal.setitimer(signal.ITIMER_REAL, settings.timeout_seconds + _GRACE_SECONDS)
            parts = _answer(source, settings, backend)
            signal.setitimer(signal.ITIMER_REAL, 0)
            for part in parts:
                pipe.send_bytes(part)
    os._exit(0)  # native libraries have nothing to tidy up that could not hang


def _limit_memory() -> None:
    """Let an allocation fail before the machine's memory is full.

    What is mapped already does not count: a program whose main module imports torch has mapped 4 GiB by now, and native
    code that finds nothing left for a clip does not fail, it crashes.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _mapped_bytes() + MEMORY_BYTES
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    with suppress(OSError, ValueError):  # macOS has the limit and takes none
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _mapped_bytes() -> int:
    """Return how much address space this process uses; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _answer(source: Source, settings: ShardSettings, backend: Backend) -> tuple[bytes, ...]:
    head: dict[str, Any]
    try:
        clip = read_clip(source, settings, backend)
    except MediaError as error:
        head = {"code": error.code, "message": str(error), "exit_code": error.exit_code, "stderr": error.stderr}
    except MemoryError:
        message = f"decoding needs more than {MEMORY_BYTES >> 30} GiB of memory"
        head = {"code": "crashed", "message": message, "exit_code": 0, "stderr": ""}
    else:
        return clip.metadata.to_json(), clip.wav, clip.mjpg
    return (json.dumps(head).encode(),)
