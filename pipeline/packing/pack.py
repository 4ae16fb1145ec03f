"""Pack sources into shards: which clip goes where is fixed first, then decoded by many and written by one.

    sources ──> plan: split, seeded order, shards ──> threads, one ffmpeg each ──> one writer, in planned order

The order never depends on how many workers there are, which of them is first, or what failed.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcorr.shards.ahead import map_ahead
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.index.layout import WORK, ShardName
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.index.record import ShardRecord
from avcorr.shards.index.shard_list import iter_records
from avcorr.shards.writer import ShardWriter, discard_work, finish_publication

from ..decoding.decoder import Decoder, open_decoder, stopped_on_error
from ..settings import ShardSettings
from ..sources.source import Source, SourceList
from .attempt import Attempt, attempt, ledger_row
from .claim import claim, writing_to
from .plan import PlannedShard, plan_shards
from .progress import Progress
from .retry import ShardRebuild
from .spool import Spool, fill_spool, is_streamed
from .upload import Upload

__all__ = ["PackSummary", "PlannedShard", "pack", "plan_shards"]

_AHEAD = 4
"""Clips decoded ahead of the writer, for each worker."""


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


def pack(
    sources: SourceList,
    root: Path,
    settings: ShardSettings,
    *,
    workers: int,
    retry: Collection[str] = (),
    upload: Upload | None = None,
) -> PackSummary:
    """Pack all inputs into shards under `root`; run again after an interruption, it goes on where it was.

    Args:
        sources: the inputs.
        root: the dataset's folder, new or begun with the same settings and sources.
        settings: how clips are made.
        workers: how many clips are decoded at once.
        retry: reason codes; inputs that failed with one of them in an earlier run are tried again.
        upload: takes the shards away as they are published.

    Raises:
        DatasetMismatchError: when `root` holds something else.
        DecoderError: when the decoder is not there.
        OutputError: when `root` cannot be written to, or its disk is full.
    """
    began = time.monotonic()
    make_shards(sources, root, settings, workers=workers, retry=retry, upload=upload)
    with writing_to(root):
        return _finish(root, sources, time.monotonic() - began)


def make_shards(
    sources: SourceList,
    root: Path,
    settings: ShardSettings,
    *,
    workers: int,
    retry: Collection[str] = (),
    upload: Upload | None = None,
    again: Collection[ShardName] = (),
    accepts: Callable[[ShardRecord], bool] = lambda record: True,
) -> None:
    """Pack all inputs into shards, and leave what describes the dataset as a whole to the caller.

    Args:
        sources, root, settings, workers, retry, upload: as `pack` takes them.
        again: shards that are made again although they are there.
        accepts: asked of each shard before it gets its final name; what is refused is deleted.

    Raises:
        DatasetMismatchError, DecoderError, OutputError: as `pack` does.
    """
    decoder = open_decoder(settings)
    try:
        with writing_to(root):
            claim(root, sources, settings, decoder.version)
            packer = _Packer(root, decoder, workers, upload, accepts)
            plan = plan_shards(sources.sources, settings)
            packer.pack(plan, len(sources.sources), again)
            if retry:
                packer.retry(plan, retry)
    finally:
        decoder.close()


@dataclass(frozen=True, slots=True)
class _Step:
    """One input of a shard, or its end."""

    shard: PlannedShard
    writer: ShardWriter | ShardRebuild
    source: Source | None
    attempts: int = 1


class _Packer:
    """Decodes with `workers` threads, which only wait for the decoder, and writes in planned order."""

    def __init__(
        self, root: Path, decoder: Decoder, workers: int, upload: Upload | None, accepts: Callable[[ShardRecord], bool]
    ) -> None:
        self._root, self._decoder, self._workers, self._upload = root, decoder, workers, upload
        self._accepts = accepts
        self._spool = Spool(root)
        self._failed: set[str] = set()
        self._open: set[ShardWriter | ShardRebuild] = set()

    def pack(self, plan: Sequence[PlannedShard], total: int, again: Collection[ShardName]) -> None:
        """Pack all shards that are not complete, and those that are to be made again."""
        pending = [shard for shard in plan if not finish_publication(self._root, shard.name) or shard.name in again]
        self._sweep(plan)
        streamed = [(source, 1) for shard in pending for source in shard.sources if is_streamed(source)]
        fill_spool(self._spool, streamed, self._decoder, self._workers)
        with Progress("shard", total, total - sum(len(shard.sources) for shard in pending)) as progress:
            self._run(self._steps(pending, progress), progress)

    def retry(self, plan: Sequence[PlannedShard], codes: Collection[str]) -> None:
        """Try inputs again that failed in an earlier run."""
        skip = frozenset(self._failed)
        shards: list[PlannedShard] = []
        streamed: list[tuple[Source, int]] = []
        count = 0
        for shard in plan:
            wanted = list(ShardRebuild(self._root, shard, codes, skip).wanted())
            shards += [shard] if wanted else []
            streamed += (pair for pair in wanted if is_streamed(pair[0]))
            count += len(wanted)
        fill_spool(self._spool, streamed, self._decoder, self._workers)
        with Progress("retry", count, 0) as progress:
            self._run(self._steps_again(shards, codes, skip), progress)

    def _sweep(self, plan: Iterable[PlannedShard]) -> None:
        """Delete what an interrupted retry or repair left of shards that are complete."""
        left = {path.stem for path in (self._root / WORK).glob("*.tar")}
        for shard in plan if left else ():
            if shard.name.stem in left and finish_publication(self._root, shard.name):
                discard_work(self._root, shard.name)

    def _steps(self, pending: Iterable[PlannedShard], progress: Progress) -> Iterator[_Step]:
        for shard in pending:
            writer = ShardWriter(self._root, shard.name, [source.key for source in shard.sources])
            self._open.add(writer)
            progress.skip(writer.done)
            for source in shard.sources[writer.done :]:
                yield _Step(shard, writer, source)
            yield _Step(shard, writer, None)

    def _steps_again(
        self, shards: Iterable[PlannedShard], codes: Collection[str], skip: Collection[str]
    ) -> Iterator[_Step]:
        for shard in shards:
            rebuild = ShardRebuild(self._root, shard, codes, skip, self._upload.bring if self._upload else None)
            self._open.add(rebuild)
            for source, attempts in rebuild.wanted():
                yield _Step(shard, rebuild, source, attempts)
            yield _Step(shard, rebuild, None)

    def _run(self, steps: Iterable[_Step], progress: Progress) -> None:
        try:
            with (
                ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as executor,
                stopped_on_error(self._decoder),
                closing(map_ahead(executor, self._attempt, steps, self._workers * _AHEAD)) as attempts,
            ):
                for step, made in attempts:
                    self._write(step, made, progress)
        finally:
            for writer in self._open:
                with suppress(OSError):  # a full disk is told already
                    writer.close()

    def _attempt(self, step: _Step) -> tuple[_Step, Attempt | None]:
        if step.source is None:
            return step, None
        if is_streamed(step.source):
            return step, self._spool.take(step.source.key)
        return step, attempt(step.source, self._decoder, step.attempts)

    def _write(self, step: _Step, made: Attempt | None, progress: Progress) -> None:
        """Write a clip or its failure, or publish its shard."""
        if made is None:
            step.writer.publish(self._accepts)
            self._open.discard(step.writer)
            if self._upload is not None:
                self._upload.published(step.shard.name)
            self._spool.drop(source.key for source in step.shard.sources)
            return
        clip, row = made
        if clip is None:
            self._failed.add(row["key"])
            step.writer.fail(row)
            progress.failed(row)
        else:
            step.writer.add(clip, row)
            progress.packed(len(clip.wav) + len(clip.mjpg))


def _finish(root: Path, sources: SourceList, seconds: float) -> PackSummary:
    """Write the ledger and count, one shard's record in memory at a time."""
    status: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    shards: Counter[str] = Counter()

    def rows() -> Iterator[Mapping[str, Any]]:
        for record in iter_records(root):
            shards.update(shards=int(bool(record.clips)), size=record.size if record.clips else 0)
            yield from record.ledger
        for source in sources.duplicates:
            yield ledger_row(source, "skipped", "duplicate", "an earlier row is the same", attempts=0)

    def counted() -> Iterator[Mapping[str, Any]]:
        for row in rows():
            status[row["status"]] += 1
            reasons.update([row["code"]] if row["code"] else [])
            yield row

    write_ledger(root, counted())
    finish_dataset(root)
    return PackSummary(
        inputs=status.total(), packed=status["packed"], failed=status["failed"], skipped=status["skipped"],
        reasons=dict(reasons.most_common()), shards=shards["shards"], size=shards["size"], seconds=seconds,
    )  # fmt: skip
