"""What each stage of the stream did: counted where it happens, sent along with the parts, summed by the loader.

    worker    draw ──> read ──> decode ──> assemble ──> idle, where enough is ready
    queue     parts that are ready when the trainer asks for the next
    trainer   wait ──> collate ──> device, where frames are decoded there

From a remote store, draw and read run in threads beside the others; where the worker has to wait for them, that is
`read_wait`.
"""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from threading import Lock
from typing import Literal

from avcorr.shards.store import Store

Stage = Literal["draw", "read", "read_wait", "decode", "assemble", "idle"]


@dataclass(slots=True)
class Stages:
    """Counts of some time. Seconds are those of the wall clock, summed over workers and their threads."""

    pairs: int = 0
    draw_seconds: float = 0.0
    """Which clips, frames and windows, and where they lie."""
    read_seconds: float = 0.0
    """With the store asked for bytes."""
    read_wait_seconds: float = 0.0
    """In which there was nothing to decode, because the bytes of a remote store were still missing."""
    read_bytes: int = 0
    read_requests: int = 0
    read_retries: int = 0
    """Attempts after the first, where a connection broke, stalled or was refused."""
    in_flight_seconds: float = 0.0
    """Waited for bytes, summed over requests that run side by side."""
    decode_seconds: float = 0.0
    decode_errors: int = 0
    """Stored frames that are no JPEG."""
    assemble_seconds: float = 0.0
    """To make room for a part in memory that the trainer sees, too."""
    idle_seconds: float = 0.0
    """Between two parts of a worker: the last one is handed over and there is room for the next."""
    cpu_seconds: float = 0.0
    """Of the processes that read and decode, with all their threads."""
    parts: int = 0
    """That were taken."""
    ready_parts: int = 0
    """That were ready, each time before one was taken, summed."""
    wait_seconds: float = 0.0
    """In which the loader waited for parts."""
    collate_seconds: float = 0.0
    """To put parts together to batches."""
    device_seconds: float = 0.0
    """In which the trainer decoded frames on its device, or waited for it to."""

    def add(self, other: "Stages") -> None:
        """Add what another counter has."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Meter:
    """Counts the stages of one worker; its threads share it.

    Args:
        store: whose traffic is of this worker.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, Lock()
        self._stages, self._traffic, self._cpu = Stages(), copy.copy(store.traffic), time.process_time()

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Count the time of the block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(f"{stage}_seconds", time.perf_counter() - began)

    def add(self, name: str, amount: float) -> None:
        """Add to one of the counts."""
        with self._lock:
            setattr(self._stages, name, getattr(self._stages, name) + amount)

    def take(self, pairs: int) -> Stages:
        """Return what was counted since the last call, with the number of pairs that were made."""
        with self._lock:
            taken, self._stages = self._stages, Stages()
        before, now = self._traffic, copy.copy(self._store.traffic)
        cpu, self._traffic, self._cpu = self._cpu, now, time.process_time()
        taken.pairs, taken.cpu_seconds = pairs, self._cpu - cpu
        taken.read_bytes, taken.read_requests = now.bytes - before.bytes, now.requests - before.requests
        taken.read_retries, taken.in_flight_seconds = now.retries - before.retries, now.seconds - before.seconds
        return taken
