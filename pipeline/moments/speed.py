"""How fast pairs come from where a dataset lies, and where the time goes."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from .catalogue import Catalogue
from .loader import MomentLoader
from .sampler import MomentDataset
from .stages import Stages

_SAMPLE = 1000
"""Frames whose size is looked up, to know how many bytes a pair needs."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured; the first batches, with which the workers start, are left out."""

    root: str
    remote: bool
    split: str
    clips: int
    shards: int
    per_clip: int
    block_clips: int
    frame_size: int
    batch_size: int
    workers: int
    cores: int
    """That this process may use."""
    ahead: int
    """Most batches that are made ahead."""
    parts: int
    """In which a batch is made."""
    start_seconds: float
    """Until the first batch."""
    seconds: float
    pairs: int
    cpu_seconds: float
    """Of this process and its workers."""
    needed_bytes: float
    """Of a pair: its JPEG and its window of sound."""
    rate: float | None
    """Pairs a second that were asked for; None where they were taken as fast as they came."""
    bad_shards: int
    stages: Stages

    @property
    def pairs_per_second(self) -> float:
        """Return pairs a second of the wall clock."""
        return self.pairs / self.seconds

    @property
    def pairs_per_core(self) -> float:
        """Return pairs a second of CPU time."""
        return self.pairs / self.cpu_seconds

    @property
    def bytes_per_second(self) -> float:
        """Return what came from the store."""
        return self.stages.read_bytes / self.seconds

    @property
    def wait(self) -> float:
        """Return the share of the time in which whoever takes the pairs waited for them."""
        return self.stages.wait_seconds / self.seconds

    @property
    def queue(self) -> float:
        """Return how many batches were ready on average."""
        return self.stages.ready_parts / max(self.stages.parts, 1) / self.parts

    @property
    def cpu_share(self) -> float:
        """Return CPU seconds for each second of work: far below 1 where others use the cores."""
        stages = self.stages
        busy = stages.draw_seconds + stages.decode_seconds + stages.assemble_seconds + stages.collate_seconds
        return self.cpu_seconds / busy if busy else 1.0

    def shares(self) -> dict[str, float]:
        """Return the stages that the workers' own time is made of, each with its share of it.

        From a remote store, draw and read run beside the others, and what is missed of them is `read_wait`.
        """
        names = ("read_wait",) if self.remote else ("draw", "read")
        names = (*names, "decode", "assemble", *(("idle",) if self.workers else ()))
        seconds = {name: float(getattr(self.stages, f"{name}_seconds")) for name in names}
        whole = sum(seconds.values()) or 1.0
        return {name: value / whole for name, value in seconds.items()}

    def to_json(self) -> dict[str, Any]:
        """Return all of it, with what follows from it."""
        derived = ("pairs_per_second", "pairs_per_core", "bytes_per_second", "wait", "queue", "cpu_share")
        return asdict(self) | {name: getattr(self, name) for name in derived} | {"shares": self.shares()}


def measure_speed(
    dataset: MomentDataset[Any], *, seconds: float = 10.0, pairs: int | None = None, rate: float | None = None,
    device: torch.device | None = None, progress: Callable[[int], Any] = lambda _: None,
) -> Speed:  # fmt: skip
    """Draw pairs as training does, and drop them.

    Args:
        dataset: the pairs.
        seconds: for how long, at least two batches.
        pairs: how many instead, rounded up to whole batches.
        rate: take no more of them a second, as a model that takes its time would.
        device: where frames are decoded with `pairs.decode: device`.
        progress: called with the pairs of each batch that counts.

    Raises:
        PipelineError, ShardError: as `MomentLoader` does.
    """
    settings, size = dataset.settings, dataset.order.batch_size
    loader = MomentLoader(dataset, device=device)
    batches, began = iter(loader), time.perf_counter()
    next(batches)
    start = time.perf_counter() - began
    for _ in range(loader.ahead):
        next(batches)
    loader.take_stages()
    cpu, began, count = time.process_time(), time.perf_counter(), 0
    while (count * size < pairs) if pairs else (count < 2 or time.perf_counter() - began < seconds):
        if rate:
            time.sleep(max(0.0, began + count * size / rate - time.perf_counter()))
        next(batches)
        count += 1
        progress(size)
    stages, elapsed = loader.take_stages()
    cpu = time.process_time() - cpu + (stages.cpu_seconds if settings.workers else 0)
    batches.close()
    catalogue = dataset.catalogue
    return Speed(
        root=dataset.store.url, remote=not dataset.store.is_local, split=settings.split, clips=len(catalogue),
        shards=len(catalogue.shards), per_clip=settings.per_clip, block_clips=settings.block_clips,
        frame_size=settings.frame_size, batch_size=size, workers=settings.workers,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        ahead=loader.ahead, parts=loader.parts, start_seconds=start, seconds=elapsed, pairs=count * size,
        cpu_seconds=cpu, needed_bytes=_needed_bytes(catalogue), rate=rate,
        bad_shards=len(loader.bad_shards), stages=stages,
    )  # fmt: skip


def _needed_bytes(catalogue: Catalogue) -> float:
    """Return the mean size of a JPEG and a window of sound."""
    rng = np.random.default_rng(0)
    clips = rng.integers(len(catalogue), size=_SAMPLE)
    frames = (catalogue.frames[clips] * rng.random(_SAMPLE)).astype(np.int64)
    sizes = [picture.stop - picture.start for picture in catalogue.pictures(clips, frames)]
    return float(np.mean(sizes) + 2 * catalogue.window)
