"""How fast pairs come from where a dataset lies, where the time goes, and what to do about it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any

import numpy as np
import torch

from avcorr.limits import cpu_count

from .catalogue import Catalogue
from .loader import MomentLoader
from .sampler import MomentDataset
from .stages import Stages

_SAMPLE = 1000
"""Frames whose size is looked up, to know how many bytes a pair needs."""
_BAR = 20
_NEGLIGIBLE = 0.1
"""Share of waiting that no training would feel."""
_CROWDED = 0.7
_WITH_RATE = ("draw", "read", "decode")


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
        cores=cpu_count(),
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


def describe(speed: Speed) -> str:
    """Return it as lines of text."""
    stages = speed.stages
    order = f"blocks of {speed.block_clips} clips" if speed.block_clips else "a global shuffle"
    source = "the store" if speed.remote else "the folder, or from memory where it was read before"
    asked = f", {speed.rate:,.0f} a second asked for" if speed.rate else ""
    bad = f", {_count(speed.bad_shards, 'bad shard')} passed over" if speed.bad_shards else ""
    return "\n".join([
        f"{speed.root}, {speed.split}: {_count(speed.clips, 'clip')} in {_count(speed.shards, 'shard')}{bad}",
        f"batches of {speed.batch_size}, {_count(speed.per_clip, 'pair')} a clip, {order}; "
        f"{_count(speed.workers, 'worker')}, {_count(speed.cores, 'core')}",
        f"{speed.pairs:,} pairs in {speed.seconds:.1f} s{asked}; "
        f"before that {speed.start_seconds:.1f} s for the first batch",
        "",
        f"{speed.pairs_per_second:8,.0f} pairs/s",
        f"{speed.pairs_per_core:8,.0f} pairs/s a core, {1e6 / speed.pairs_per_core:,.0f} us of CPU time each",
        f"{speed.bytes_per_second / 1e6:8,.1f} MB/s from {source}",
        f"{stages.read_bytes / speed.pairs / 1e3:8,.0f} kB a pair, {speed.needed_bytes / 1e3:,.0f} of them needed",
        "",
        *_table(speed),
        "",
        *(fill(line, 100, initial_indent="- ", subsequent_indent="  ") for line in advise(speed)),
    ])  # fmt: skip


def _table(speed: Speed) -> Iterator[str]:
    """Yield a line for each stage. Rates are those of all workers together, had they nothing else to do."""
    stages, shares = speed.stages, speed.shares()
    moved = f"{stages.read_bytes / 1e6:,.0f} MB, {_count(stages.read_requests, 'request')}, "
    under_way = f"{stages.in_flight_seconds / speed.seconds:.1f} under way, " if speed.remote else ""
    notes = {
        "draw": "which clips, frames and windows",
        "read": f"{moved}{under_way}{_count(stages.read_retries, 'retry', 'retries')}",
        "read_wait": "nothing to decode before bytes came",
        "decode": f"JPEG and PCM, {_count(stages.decode_errors, 'error')}",
        "assemble": "room in shared memory" if speed.workers else "room for a batch",
        "idle": "enough was ready",
    }
    whose = "workers' time" if speed.workers else "time"
    yield f"{'stage':10} {'seconds':>8} {'pairs/s':>9}  {whose}"
    for name in [*(stage for stage in ("draw", "read") if stage not in shares), *shares]:
        seconds = getattr(stages, f"{name}_seconds")
        rate = f"{max(speed.workers, 1) * stages.pairs / seconds:,.0f}" if name in _WITH_RATE and seconds else ""
        share = f"{shares[name]:4.0%} {'#' * round(_BAR * shares[name])}" if name in shares else "beside the others"
        yield f"{name.replace('_', ' '):10} {seconds:8.1f} {rate:>9}  {share:{_BAR + 5}} {notes[name]}"
    if speed.workers:
        yield (
            f"{'queue':10} {stages.wait_seconds:8.1f} {'':9}  {f'waited {speed.wait:.0%} of the time':{_BAR + 5}} "
            f"{speed.queue:.1f} of at most {speed.ahead} batches were ready"
        )
    if stages.device_seconds:
        rate = f"{stages.pairs / stages.device_seconds:,.0f}"
        share = f"{stages.device_seconds / speed.seconds:.0%} of this process"
        yield f"{'device':10} {stages.device_seconds:8.1f} {rate:>9}  {share:{_BAR + 5}} frames are decoded there"


def advise(speed: Speed) -> list[str]:
    """Return what to do, about the slowest stage first."""
    shares, stages = speed.shares(), speed.stages
    slowest = max(shares, key=lambda name: shares[name])
    lines = [f"{_TITLES[slowest]} {shares[slowest]:.0%} of the time: {_way_out(speed, slowest)}"]
    if speed.rate and speed.wait < _NEGLIGIBLE:
        lines = [f"{speed.rate:,.0f} pairs/s come as asked for; whoever takes them waits {speed.wait:.0%} of the time"]
    if speed.cpu_share < _CROWDED:
        lines.append(
            f"each second of work got {speed.cpu_share:.1f} seconds of a core: other programs use the cores, or there "
            f"are fewer of them ({speed.cores}) than workers and this process need"
        )
    if not speed.workers:
        lines.append("without workers the training process does all this between its steps; set pairs.workers")
    if speed.remote and stages.read_bytes > 2 * speed.needed_bytes * speed.pairs:
        lines.append(
            f"{stages.read_bytes / speed.needed_bytes / speed.pairs:.1f} times what is needed is moved; pairs of one "
            f"clip share what lies between them, so more of them (pairs.per_clip, now {speed.per_clip}) move less each"
        )
    if stages.read_retries > 0.01 * stages.read_requests:
        lines.append(
            f"{stages.read_retries:,} of {stages.read_requests:,} requests were repeated: the store is throttled or "
            "the network breaks off; fewer workers ask for less at once"
        )
    if stages.collate_seconds > 0.2 * speed.seconds:
        lines.append(
            f"{stages.collate_seconds / speed.seconds:.0%} of this process's time goes into putting "
            f"{_count(speed.parts, 'part')} a batch together; a number of workers with fewer parts does less of that"
        )
    if stages.device_seconds > 0.2 * speed.seconds:
        lines.append(
            f"{stages.device_seconds / speed.seconds:.0%} of this process's time goes into decoding on the device, "
            "which then does not train; pairs.decode: frame leaves it to the workers"
        )
    if stages.decode_errors or speed.bad_shards:
        lines.append("shards are damaged: avcorr verify ROOT --full says which and where")
    return lines


_TITLES = {
    "draw": "drawing takes", "read": "reading takes", "read_wait": "workers wait for bytes", "decode": "decoding takes",
    "assemble": "making room takes", "idle": "workers are idle",
}  # fmt: skip


def _way_out(speed: Speed, stage: str) -> str:
    stages, workers = speed.stages, speed.workers
    if stage == "decode":
        if workers < speed.cores:
            return f"more workers use more of the {_count(speed.cores, 'core')} (pairs.workers, now {workers})"
        return (
            f"all {speed.cores} cores have a worker; a smaller pairs.frame_size (now {speed.frame_size}) decodes less, "
            f"and each further core gives about {speed.pairs_per_core:,.0f} pairs/s"
        )
    if stage == "read_wait":
        latency = 1e3 * stages.in_flight_seconds / max(stages.read_requests, 1)
        return (
            f"a request takes {latency:,.0f} ms; more workers (pairs.workers, now {workers}) have more under way, as "
            "long as MB/s grow with them; --cache keeps what comes for the next epochs"
        )
    if stage == "read":
        return (
            "the disk is slow or far away; more workers have more reads under way, and a hard disk or a network's "
            f"folder prefers neighbours (pairs.block_clips 64, now {speed.block_clips})"
        )
    if stage == "idle":
        return "the pairs are not what is slow; fewer workers would do, or whoever takes them could take more"
    if stage == "draw":
        return f"chunks are largest where 16 divides the batch ({speed.batch_size} is it now)"
    return "memory is short or slow; smaller batches or fewer workers make less ahead"


def _count(number: int, what: str, plural: str = "") -> str:
    return f"{number:,} {what if number == 1 else plural or what + 's'}"
