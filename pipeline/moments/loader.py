"""Put a MomentDataset behind worker processes, and its parts together to batches; go on from any step."""

import itertools
import logging
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Generic

import torch
from torch.utils.data import DataLoader

from avcorr.limits import allow_files
from avcorr.shards.errors import DatasetMismatchError
from avcorr.signals import leave_signals_to_parent

from ..errors import PairError
from .jpegs import JpegFrames
from .reading import MADE
from .room import files_needed, prefetch, require_room
from .sampler import Batch, MomentDataset, Part
from .stages import Stages
from .supervision import WorkerLost, Workers

logger = logging.getLogger(__name__)
_LOOK_SECONDS = 1
"""How often torch looks whether a worker has died while nothing comes."""


class MomentLoader(Generic[Batch]):
    """Batches of this rank, decoded by `pairs.workers` processes.

    Args:
        dataset: the parts.
        start_method: of the workers: `fork`, `spawn` or `forkserver`; None is Python's choice for a folder, and
            `spawn` for a remote store, whose client this process has used already.
        device: where frames are decoded with `pairs.decode: device`; None is the CPU.

    Raises:
        PairError: when shared memory has no room for the batches that the workers make ahead.

    Attributes:
        step: batches yielded since step 0; those that workers have in hand do not count.
        bad_shards: shards that were passed over, with what was wrong.
        parts: in how many parts a batch is made.
        ahead: most batches that are made ahead.
    """

    def __init__(
        self, dataset: MomentDataset[Batch], *, start_method: str | None = None, device: torch.device | None = None
    ) -> None:
        self._dataset = dataset
        # forkserver would do too, but it keeps the environment, and so the credentials, that it was started with
        self._start_method = start_method or (None if dataset.store.survives_fork else "spawn")
        self._device = device or torch.device("cpu")
        self.step = dataset.start
        self.bad_shards: dict[str, str] = {}
        workers = dataset.settings.workers
        require_room(dataset, workers)
        self.parts = dataset.parts(workers)
        self.ahead = prefetch(workers) * workers // self.parts
        self._stages, self._since = Stages(), time.perf_counter()

    def __iter__(self) -> Generator[Batch, None, None]:
        """Yield batches from `step` on, without end. Workers of which one dies or hangs are replaced, once.

        Raises:
            PipelineError, ShardError: as the dataset does, with its own message and not the worker's traceback.
            WorkerLost: when it happens again.
        """
        try:
            yield from self._batches()
        except WorkerLost as lost:
            logger.warning("%s; all workers are replaced once, and go on at step %d", lost, self.step)
            try:
                yield from self._batches()
            except WorkerLost as again:
                raise WorkerLost(f"{again}; the workers were replaced once already") from again

    def _batches(self) -> Generator[Batch, None, None]:
        dataset, count = self._dataset, self._dataset.settings.workers
        dataset.start = self.step
        if not count:
            parts = iter(DataLoader(dataset, batch_size=None))
            while True:
                yield self._join([self._take(parts.__next__, 0)])
        allow_files(files_needed(dataset, count))
        dataset.notes = notes = torch.zeros(count, 3, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        loader = DataLoader(
            dataset, batch_size=None, num_workers=count, prefetch_factor=prefetch(count),
            multiprocessing_context=self._start_method, worker_init_fn=_begin_worker, timeout=_LOOK_SECONDS,
            pin_memory=self.parts == 1 and torch.cuda.is_available(),  # in a thread, a batch ahead
        )  # fmt: skip
        workers, taken = Workers(iter(loader), notes, dataset), itertools.count()
        try:
            while True:
                yield self._join(
                    [self._take(workers.take, int(notes[:, MADE].sum()) - next(taken)) for _ in range(self.parts)]
                )
        finally:
            workers.end()

    def _join(self, parts: Sequence[Part]) -> Batch:
        """Return the batch that parts are of."""
        dataset, began = self._dataset, time.perf_counter()
        columns = _join([part.columns for part in parts])
        self._stages.collate_seconds += time.perf_counter() - began
        if dataset.settings.decode == "device":
            began, encoded = time.perf_counter(), len(JpegFrames._fields)
            columns[:encoded] = [JpegFrames(*columns[:encoded]).decode(self._device)]
            self._stages.device_seconds += time.perf_counter() - began
        self.step += 1
        return dataset.task.collate(*columns)

    def state_dict(self) -> dict[str, int]:
        """Return all that another loader needs to go on here, with any number of ranks and workers."""
        dataset = self._dataset
        return {
            "step": self.step, "seed": dataset.order.seed, "batch_size": dataset.order.batch_size,
            "clips": len(dataset.catalogue), "fingerprint": dataset.catalogue.fingerprint(),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader was; an iterator that is running is not moved.

        Raises:
            DatasetMismatchError: when the state is of another sequence.
        """
        mine = self.state_dict()
        other = {name for name in mine if name != "step" and state.get(name) != mine[name]}
        if other:
            raise DatasetMismatchError(
                f"the state is of another sequence of pairs: its {', '.join(sorted(other))} "
                f"{'is' if len(other) == 1 else 'are'} not that of this loader; give it the same shards and settings"
            )
        self.step = int(state["step"])

    def take_stages(self) -> tuple[Stages, float]:
        """Return what was done since the last call, or since this loader was made, and how many seconds that is."""
        now = time.perf_counter()
        stages, seconds = self._stages, now - self._since
        self._stages, self._since = Stages(), now
        return stages, seconds

    def report(self) -> dict[str, float]:
        """Return what was done since the last call, as a line of metrics has it, each name with `data_` before it.

        Beside the counts there are `data_queue`, batches that were ready on average when the next one was asked for;
        `data_in_flight`, requests under way on average; pairs a second of one worker at each stage, had it nothing
        else to do; and `data_bad_shards`.
        """
        stages, seconds = self.take_stages()
        counts = asdict(stages)
        in_flight, ready, parts, pairs = map(counts.pop, ("in_flight_seconds", "ready_parts", "parts", "pairs"))
        found = {f"data_{name}": count for name, count in counts.items()}
        found["data_queue"] = ready / max(parts, 1) / self.parts
        found["data_in_flight"] = in_flight / seconds
        for stage in ("draw", "read", "decode"):
            if pairs and counts[f"{stage}_seconds"]:
                found[f"data_{stage}_pairs_per_second"] = pairs / counts[f"{stage}_seconds"]
        return found | {"data_bad_shards": len(self.bad_shards)}

    def _take(self, take: Callable[[], Part], ready: int) -> Part:
        """Wait for the next part, and count what it tells."""
        began = time.perf_counter()
        part = take()
        self._stages.wait_seconds += time.perf_counter() - began
        self._stages.parts += 1
        self._stages.ready_parts += ready
        self._stages.add(part.stages)
        self.bad_shards |= part.bad_shards
        allowed = self._dataset.settings.max_bad_shards
        if len(self.bad_shards) > allowed:
            raise PairError(
                f"{len(self.bad_shards)} shards are bad, more than pairs.max_bad_shards = {allowed}; the last: "
                f"{list(self.bad_shards.values())[-1]}"
            )
        return part


def _begin_worker(_: int) -> None:
    """Leave signals to the trainer; say nothing when it ends while it takes a batch, as at SIGTERM."""
    leave_signals_to_parent()
    show = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, ConnectionError | EOFError):
            show(kind, error, trace)

    sys.excepthook = hook  # multiprocessing shows with it what it meets when it hands over tensors


def _join(parts: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
    """Put the columns of a batch's parts together, in pinned memory where a GPU waits for them."""
    waits = torch.cuda.is_available()
    if len(parts) == 1 and (not waits or parts[0][0].is_pinned()):
        return list(parts[0])
    columns = zip(*parts, strict=True)
    if not waits:
        return [torch.cat(column) for column in columns]
    joined = []
    for column in columns:
        size = sum(len(values) for values in column)
        pinned = torch.empty((size, *column[0].shape[1:]), dtype=column[0].dtype, pin_memory=True)
        joined.append(torch.cat(column, out=pinned))
    return joined
