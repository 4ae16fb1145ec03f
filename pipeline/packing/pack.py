"""Pack sources into shards: which clip goes where is fixed first, then decoded by many and written by one.

    sources ──> plan: split, seeded order, shards ──> threads, one ffmpeg each ──> one writer, in planned order

The order never depends on how many workers there are, which of them is first, or what failed.
"""

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from avcorr.files import open_file
from avcorr.shards.ahead import map_ahead
from avcorr.shards.errors import ShardTruncatedError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import Clip
from avcorr.shards.index.layout import ShardName, write_json
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.index.record import ShardRecord, read_record
from avcorr.shards.index.shard_list import iter_records
from avcorr.shards.reader import read_clips
from avcorr.shards.writer import ShardWriter, discard_work, finish_publication

from ..decoding.decoder import Decoder, open_decoder, stopped_on_error
from ..settings import ShardSettings
from ..sources.source import Source, SourceList
from .attempt import OF_THE_MOMENT, Attempt, Row, Spool, attempt, is_streamed, ledger_row, progress_bar
from .output import Output
from .plan import PlannedShard, plan_shards
from .unchanged import require_unchanged

logger = logging.getLogger(__name__)

_AHEAD = 4
"""Clips decoded ahead of the writer, for each worker."""
_LOGGED = 10
"""Failures of each reason that are logged one by one; the ledger has all."""


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
    output: Output | Path,
    settings: ShardSettings,
    *,
    workers: int,
    retry: Collection[str] = (),
    accept_changed: bool = False,
) -> PackSummary:
    """Pack all inputs into shards; run again after an interruption, it goes on where it was.

    Args:
        sources: the inputs.
        output: where they go, new or begun with the same settings and sources.
        settings: how clips are made.
        workers: how many clips are decoded at once.
        retry: reason codes; inputs that failed with one of them in an earlier run are tried again.
        accept_changed: go on where files have changed since they were packed; what is packed of them stays.

    Raises:
        DatasetMismatchError: when `output` holds something else, or files have changed.
        DecoderError: when the decoder is not there.
        OutputError: when it cannot be written to, or its disk is full.
    """
    began = time.monotonic()
    output = output if isinstance(output, Output) else Output(output)
    make_shards(sources, output, settings, workers=workers, retry=retry, accept_changed=accept_changed)
    return _finish(output.root, sources, began)


def make_shards(
    sources: SourceList,
    output: Output,
    settings: ShardSettings,
    *,
    workers: int,
    retry: Collection[str] = (),
    again: Collection[ShardName] = (),
    accepts: Callable[[ShardRecord], bool] = lambda record: True,
    accept_changed: bool = False,
) -> None:
    """Pack all inputs into shards, and leave what describes the dataset as a whole to the caller.

    Args:
        sources, output, settings, workers, retry, accept_changed: as `pack` takes them.
        again: shards that are made again although they are there.
        accepts: asked of each shard before it gets its final name; what is refused is deleted.

    Raises:
        DatasetMismatchError, DecoderError, OutputError: as `pack` does.
    """
    decoder = open_decoder(settings)
    try:
        output.begin(sources, settings, decoder.version)
        if not accept_changed:
            require_unchanged(output.root, sources.sources)
        packer = _Packer(output, decoder, workers, accepts)
        plan = plan_shards(sources.sources, settings)
        packer.pack(plan, again)
        if retry:
            packer.retry(plan, retry)
    finally:
        decoder.close()


class _Step(NamedTuple):
    """One input of a shard."""

    shard: PlannedShard
    source: Source
    attempts: int = 1


class _Packer:
    """Decodes with `workers` threads, which only wait for the decoder, and writes in planned order."""

    def __init__(self, output: Output, decoder: Decoder, workers: int, accepts: Callable[[ShardRecord], bool]) -> None:
        self._output, self._root = output, output.root
        self._decoder, self._workers, self._accepts = decoder, workers, accepts
        self._spool = Spool(self._root)
        self._failed: set[str] = set()

    def pack(self, plan: Sequence[PlannedShard], again: Collection[ShardName]) -> None:
        """Pack all shards that are not complete, and those that are to be made again."""
        for name in again:
            discard_work(self._root, name)
        pending = [shard for shard in plan if not finish_publication(self._root, shard.name) or shard.name in again]
        left, total = (sum(len(shard.sources) for shard in shards) for shards in (pending, plan))
        writers: dict[ShardName, ShardWriter] = {}

        def steps() -> Iterator[_Step]:
            for shard in pending:
                keys = [source.key for source in shard.sources]
                again = partial(may_go_well, {source.key: source.path for source in shard.sources})
                writers[shard.name] = writer = ShardWriter(self._root, shard.name, keys, again)
                progress.skip(writer.done)
                if writer.done == len(keys):
                    self._publish(shard, writers.pop(shard.name))
                yield from (_Step(shard, source) for source in shard.sources[writer.done :])

        self._spool.fill([(source, 1) for shard in pending for source in shard.sources], self._decoder, self._workers)
        try:
            with _Progress("shard", total, total - left) as progress, closing(self._attempts(steps())) as attempts:
                for step, (clip, row) in attempts:
                    writer = writers[step.shard.name]
                    if clip is None:
                        self._failed.add(row["key"])
                        writer.fail(row)
                    else:
                        writer.add(clip, row)
                    progress.count(clip, row)
                    if writer.done == len(step.shard.sources):
                        self._publish(step.shard, writers.pop(step.shard.name))
        finally:
            for writer in writers.values():
                with suppress(OSError):  # a full disk is told already
                    writer.close()

    def retry(self, plan: Sequence[PlannedShard], codes: Collection[str]) -> None:
        """Try inputs again that failed in an earlier run.

        A shard that gains a clip has the bytes then that it would have had if the input had worked at once.
        """
        steps: list[_Step] = []
        for shard in plan:
            record = read_record(self._root / shard.name.record)
            failed = {row["key"]: row["attempts"] for row in record.ledger if row["code"] in codes}
            steps += [
                _Step(shard, source, failed[source.key] + 1)
                for source in shard.sources
                if source.key in failed and source.key not in self._failed
            ]
        self._spool.fill([(step.source, step.attempts) for step in steps], self._decoder, self._workers)
        with _Progress("retry", len(steps)) as progress, closing(self._attempts(steps)) as attempts:
            for _, group in groupby(attempts, key=lambda made: made[0].shard.name):
                rows: dict[str, Row] = {}
                for step, (clip, row) in group:
                    if clip is not None and not is_streamed(step.source):
                        self._spool.put(clip, row)  # those of one shard may be more than fit into memory
                    rows[row["key"]] = row
                    progress.count(clip, row)
                self._renew(step.shard, rows)

    def _renew(self, shard: PlannedShard, rows: dict[str, Row]) -> None:
        """Write the record of a complete shard again with the new rows of some inputs, and the shard if it gained any.

        The shard is made beside the present one, whose clips are copied as they are.
        """
        record = read_record(self._root / shard.name.record)
        ledger = {**{row["key"]: row for row in record.ledger}, **rows}
        if not any(row["status"] == "packed" for row in rows.values()):
            changed = replace(record, ledger=tuple(ledger[row["key"]] for row in record.ledger))
            write_json(self._root / shard.name.record, changed.to_json())
            self._output.published(shard.name)
            self._spool.drop(rows)
            return
        present = self._present_clips(record)
        discard_work(self._root, shard.name)  # what an interrupted attempt left is not taken up
        with ShardWriter(self._root, shard.name, [source.key for source in shard.sources]) as writer:
            for source in shard.sources:
                row, clip = ledger[source.key], None
                if row["status"] != "packed":
                    writer.fail(row)
                    continue
                if source.key in rows:
                    clip, _ = self._spool.take(source.key)
                writer.add(next(present) if clip is None else clip, row)
            self._publish(shard, writer)

    def _present_clips(self, record: ShardRecord) -> Iterator[Clip]:
        if not record.clips:
            return iter(())
        self._output.fetch(ShardName.parse(record.path))
        path = self._root / record.path
        if sha256_of(path) != record.sha256:
            raise ShardTruncatedError(f"{path} is damaged, so nothing is added to it; make it whole first")
        return read_clips(self._root, record)

    def _attempts(self, steps: Iterable[_Step]) -> Generator[tuple[_Step, Attempt]]:
        """Try inputs side by side; yield what came of them in their order."""
        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as executor,
            stopped_on_error(self._decoder),
            closing(map_ahead(executor, self._attempt, steps, self._workers * _AHEAD)) as attempts,
        ):
            yield from attempts

    def _attempt(self, step: _Step) -> tuple[_Step, Attempt]:
        if is_streamed(step.source):
            return step, self._spool.take(step.source.key)
        return step, attempt(step.source, self._decoder, step.attempts)

    def _publish(self, shard: PlannedShard, writer: ShardWriter) -> None:
        with writer:
            writer.publish(self._accepts)
        self._output.published(shard.name)
        self._spool.drop(source.key for source in shard.sources)


def may_go_well(paths: Mapping[str, str], row: Mapping[str, Any]) -> bool:
    """Return whether a failure in a begun shard was of the moment: another limit, a crash, a file that has come."""
    return row["code"] in OF_THE_MOMENT and (row["code"] != "missing" or os.path.lexists(paths[row["key"]]))


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Progress:
    """A bar with clips a second, failures, bytes and the time left; log lines for the first failures."""

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self._bar = progress_bar(what, total, done)
        self._failures: Counter[str] = Counter()
        self._bytes = 0

    def skip(self, count: int) -> None:
        """Count inputs that an earlier run has done."""
        if not self._bar.disable:
            self._bar.initial += count  # they do not count for the rate
        self._bar.update(count)

    def count(self, clip: Clip | None, row: Row) -> None:
        """Count an input: its clip, if it gave one, and its row of the ledger."""
        if clip is not None:
            self._bytes += len(clip.wav) + len(clip.mjpg)
        else:
            code = row["code"]
            self._failures[code] += 1
            if self._failures[code] <= _LOGGED:
                logger.info("%s: %s: %s", row["source"], code, row["message"])
            elif self._failures[code] == _LOGGED + 1:
                logger.info("further inputs with %s are only counted; the ledger has them all", code)
        self._bar.set_postfix_str(f"failed {self._failures.total()}, {self._bytes / 1e6:.0f} MB", refresh=False)
        self._bar.update()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        if self._failures and kind is None:
            logger.warning("%d inputs gave no clip; the ledger says why", self._failures.total())


def _finish(root: Path, sources: SourceList, began: float) -> PackSummary:
    """Write the ledger and count, one shard's record in memory at a time."""
    status: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sizes: list[int] = []

    def rows() -> Iterator[Mapping[str, object]]:
        for record in iter_records(root):
            sizes.extend([record.size] if record.clips else [])
            yield from map(counted, record.ledger)
        for source in sources.duplicates:
            _, why = source.problem or ("", "an earlier row is the same")
            yield counted(ledger_row(source, "skipped", "duplicate", why, attempts=0))

    def counted(row: Mapping[str, str]) -> Mapping[str, str]:
        status[row["status"]] += 1
        reasons.update([row["code"]] if row["code"] else [])
        return row

    write_ledger(root, rows())
    finish_dataset(root)
    return PackSummary(
        inputs=status.total(), packed=status["packed"], failed=status["failed"], skipped=status["skipped"],
        reasons=dict(reasons.most_common()), shards=len(sizes), size=sum(sizes), seconds=time.monotonic() - began,
    )  # fmt: skip
