"""Pack sources into shards: which clip goes where is fixed first, then decoded by many and written by one.

    sources ──> plan: split, seeded order, shards ──> threads, one ffmpeg each ──> one writer, in planned order

The order never depends on how many workers there are, which of them is first, or what failed.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from shards.clip import FORMAT_VERSION, Clip
from shards.errors import DatasetMismatchError
from shards.index import HIDDEN, ShardName, iter_records, read_dataset, write_json, write_ledger
from shards.writer import ShardWriter, finish_publication

from .decode import read_clip
from .errors import MediaError
from .ffmpeg import ffmpeg_version, find_ffmpeg, stop_all
from .settings import ShardSettings
from .sources import Source, SourceList

logger = logging.getLogger(__name__)

_SPEED_ONLY = {"ffmpeg", "timeout_seconds"}
"""Settings that change no byte of a shard."""
_AHEAD = 4
"""Clips decoded ahead of the writer, for each worker."""


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard's name and the inputs meant for it, in order."""

    name: ShardName
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class PackSummary:
    """What became of the inputs: inputs = packed + failed + skipped."""

    inputs: int
    packed: int
    failed: int
    skipped: int
    reasons: Mapping[str, int]
    shards: int
    size: int
    """Bytes of all shards."""
    seconds: float


def plan_shards(sources: Sequence[Source], settings: ShardSettings) -> tuple[PlannedShard, ...]:
    """Return which inputs go into which shard: a seeded permutation of each split, cut into equal parts.

    Args:
        sources: the inputs, sorted by key.
        settings: `name`, `seed` and `clips_per_shard` matter.
    """
    by_split: dict[str, list[Source]] = {}
    for source in sources:
        by_split.setdefault(source.split, []).append(source)
    planned: list[PlannedShard] = []
    for split, members in sorted(by_split.items()):
        seed = np.random.SeedSequence([settings.seed, *split.encode()])
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(members))
        size = settings.clips_per_shard
        for number, start in enumerate(range(0, len(members), size)):
            chosen = tuple(members[position] for position in order[start : start + size])
            planned.append(PlannedShard(ShardName(settings.name, split, number), chosen))
    return tuple(planned)


def pack(sources: SourceList, root: Path, settings: ShardSettings, *, workers: int) -> PackSummary:
    """Pack all inputs into shards under `root`; run again after an interruption, it goes on where it was.

    Args:
        sources: the inputs.
        root: the dataset's folder, new or begun with the same settings and sources.
        settings: how clips are made.
        workers: how many ffmpeg run at once.

    Raises:
        DatasetMismatchError: when `root` holds something else.
        DecoderError: when there is no ffmpeg.
    """
    began = time.monotonic()
    binary = find_ffmpeg(settings.ffmpeg)
    _claim(root, sources, settings, ffmpeg_version(binary))
    pending = [shard for shard in plan_shards(sources.sources, settings) if not finish_publication(root, shard.name)]
    done = len(sources.sources) - sum(len(shard.sources) for shard in pending)
    with tqdm(total=len(sources.sources), initial=done, unit="clip", disable=None, desc="shard") as progress:
        _write_shards(root, pending, settings, binary, workers, progress)
    return _finish(root, sources, time.monotonic() - began)


def _claim(root: Path, sources: SourceList, settings: ShardSettings, version: str) -> None:
    """Write what the dataset is, or check that the folder holds just that."""
    identity = {
        "format": FORMAT_VERSION,
        "settings": settings.model_dump(exclude=_SPEED_ONLY),
        "ffmpeg": version,
        "inputs": len(sources.sources),
        "sources": sources.fingerprint(),
    }
    present = read_dataset(root)
    if present is None:
        if root.exists() and next(root.glob("*/*.tar"), None):
            raise DatasetMismatchError(f"{root} holds tar files that are not of this program; choose another --out")
        write_json(root / HIDDEN / "dataset.json", identity)
    elif present != identity:
        raise DatasetMismatchError(
            f"{root} holds shards of another configuration ({'; '.join(_differences(present, identity))}); "
            "choose another --out, or use the same settings and sources to go on with it"
        )


def _differences(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    old, new = ({**values["settings"], **values} for values in (present, wanted))
    for name in sorted({*old, *new} - {"settings"}):
        if old.get(name) != new.get(name):
            if name == "sources":
                yield "other source files"
            else:
                yield f"{name}: {old.get(name)!r} there, {new.get(name)!r} now"


def _write_shards(
    root: Path,
    pending: Iterable[PlannedShard],
    settings: ShardSettings,
    binary: str,
    workers: int,
    progress: "tqdm[Any]",
) -> None:
    """Decode with `workers` threads, which only wait for their ffmpeg, and write in planned order."""
    window: deque[tuple[ShardWriter, Source | None, Future[tuple[Clip | None, dict[str, Any]]] | None]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    failed = 0
    try:
        for writer, source in _remaining(root, pending, progress):
            task = executor.submit(_attempt, source, settings, binary) if source is not None else None
            window.append((writer, source, task))
            while len(window) >= workers * _AHEAD:
                failed += _write_next(window, progress)
                progress.set_postfix(failed=failed, refresh=False)
        while window:
            failed += _write_next(window, progress)
            progress.set_postfix(failed=failed, refresh=False)
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        stop_all()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        for writer, _, _ in window:
            writer.close()
    if failed:
        logger.warning("%d inputs gave no clip; the ledger says why", failed)


def _remaining(
    root: Path, pending: Iterable[PlannedShard], progress: "tqdm[Any]"
) -> Iterator[tuple[ShardWriter, Source | None]]:
    """Yield each input that must still be decoded with its shard's writer, and None at the end of each shard."""
    for shard in pending:
        writer = ShardWriter(root, shard.name, [source.key for source in shard.sources])
        progress.update(writer.done)
        for source in shard.sources[writer.done :]:
            yield writer, source
        yield writer, None


def _write_next(window: deque[Any], progress: "tqdm[Any]") -> int:
    """Write the oldest decoded clip, or publish its shard; return 1 when it was a failure."""
    writer, source, task = window[0]
    if source is None:
        writer.publish()
        window.popleft()
        return 0
    clip, row = task.result()
    window.popleft()
    if clip is None:
        writer.fail(row)
        logger.info("%s: %s: %s", row["source"], row["code"], row["message"])
    else:
        writer.add(clip, row)
    progress.update()
    return int(clip is None)


def _attempt(source: Source, settings: ShardSettings, binary: str) -> tuple[Clip | None, dict[str, Any]]:
    began = time.monotonic()
    row: dict[str, Any] = {"key": source.key, "source": source.name, "split": source.split, "status": "packed",
                           "code": "", "message": "", "exit_code": 0, "stderr": ""}  # fmt: skip
    clip: Clip | None = None
    try:
        clip = read_clip(source, settings, binary)
    except MediaError as error:
        row |= {"status": "failed", "code": error.code, "message": str(error)}
        row |= {"exit_code": error.exit_code, "stderr": error.stderr}
    return clip, row | {"seconds": round(time.monotonic() - began, 3)}


def _finish(root: Path, sources: SourceList, seconds: float) -> PackSummary:
    """Write the ledger and count."""
    records = list(iter_records(root))
    rows: list[Mapping[str, Any]] = [row for record in records for row in record.ledger]
    rows += [
        {"key": source.key, "source": source.name, "split": source.split, "status": "skipped", "code": "duplicate",
         "message": "an earlier row is the same", "exit_code": 0, "stderr": "", "seconds": 0.0}
        for source in sources.duplicates
    ]  # fmt: skip
    write_ledger(root, rows)
    status = Counter(row["status"] for row in rows)
    return PackSummary(
        inputs=len(rows), packed=status["packed"], failed=status["failed"], skipped=status["skipped"],
        reasons=dict(Counter(row["code"] for row in rows if row["code"]).most_common()),
        shards=sum(bool(record.clips) for record in records), size=sum(record.size for record in records),
        seconds=seconds,
    )  # fmt: skip
