"""Watch over the processes that make a loader's parts: one that dies or hangs is told, with what it had in hand.

Torch alone waits for ever for a worker that hangs while it hands over a tensor, and where one dies it raises in the
middle of whatever the main thread does. Here a thread kills the workers when nothing has come for too long, and the
death of one is an error where the next part is waited for.
"""

import multiprocessing.process
import re
import signal
import threading
from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import _utils

from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardError

from ..errors import PairError, PipelineError
from .reading import CLIP, DOING, READING
from .sampler import MomentDataset

_END_SECONDS = 5.0
"""How long the end of a killed process is waited for."""


class WorkerLost(PairError):  # noqa: N818 - it says what happened
    """A worker that died or was killed because it hung."""


_CAUSES = {
    "shared memory|No space left": "/dev/shm is full; lower pairs.workers or train.batch_size, or give it more",
    "Too many open files|ancdata": "too many files are open; raise the limit (ulimit -n), or lower pairs.workers",
    "allocate|bad_alloc|MemoryError": "a worker has no memory left; lower pairs.workers or train.batch_size",
}
"""What the system's errors mean, by what they say."""


def _explained(error: Exception) -> Exception:
    """Return a worker's error in one line, without its traceback; with the way out where it is the system's."""
    text = str(error).strip()
    is_caught = text.startswith("Caught ")  # then come a traceback and "module.Class: message"
    text = text.rpartition("\n")[2] if is_caught else text
    if is_caught and isinstance(error, PipelineError | ShardError):
        return type(error)(text.partition(": ")[2])
    if isinstance(error, OSError | RuntimeError | MemoryError):
        for words, meaning in _CAUSES.items():
            if re.search(words, f"{type(error).__name__}: {text}"):
                return PairError(f"{meaning} ({text[:200]})")
    return OSError(text) if is_caught and isinstance(error, OSError) else error


class Workers:
    """The workers of a DataLoader's iterator.

    Args:
        items: the iterator.
        notes: (W, 3) int64, shared with the workers: `reading.MADE`, `DOING` and `CLIP`.
        dataset: what they read.
    """

    def __init__(self, items: Any, notes: Tensor, dataset: MomentDataset[Any]) -> None:
        self._items, self._notes, self._dataset = items, notes.numpy(), dataset
        self._seconds, self._taken, self._late = dataset.settings.timeout_seconds, 0, False
        self._waiting, self._ended = threading.Event(), threading.Event()
        # Or their death raises a RuntimeError in the main thread, between any two lines of it.
        _utils.signal_handling._remove_worker_pids(id(items))  # type: ignore[attr-defined]
        items._worker_pids_set = False
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def take(self) -> Any:
        """Wait for the next part.

        Raises:
            WorkerLost: when a worker has died, or none comes in time; then all are killed.
            PipelineError, ShardError, OSError: those of a worker, each in one line.
        """
        self._waiting.set()
        try:
            while True:
                try:
                    return next(self._items)
                except RuntimeError as error:
                    if self._late or not str(error).startswith("DataLoader timed out"):
                        raise
        except Exception as error:
            lost = self._lost()
            told = WorkerLost(lost) if lost else _explained(error)
            if told is error:
                raise
            raise told from error
        finally:
            self._waiting.clear()
            self._taken += 1

    def end(self) -> None:
        """Kill all, who have nothing to lose, and wait for them."""
        self._ended.set()
        workers = self._items._workers
        for worker in workers:
            worker.kill()
        # In a thread: one that was killed may hold a lock that this waits for.
        with suppress(RuntimeError):
            closing = threading.Thread(target=self._items._shutdown_workers, daemon=True)
            closing.start()
            closing.join(_END_SECONDS)
        for worker in workers:
            worker.join(_END_SECONDS)
            if worker.is_alive():  # in the kernel's hands, as on a dead mount: nobody can wait for it, nor may the exit
                multiprocessing.process._children.discard(worker)  # type: ignore[attr-defined]

    def _watch(self) -> None:
        """Kill all when a part has not come in time; time in which this process stood still does not count."""
        tick = min(1.0, self._seconds / 4)
        taken, waited = self._taken, 0.0
        while not self._ended.wait(tick):
            still = self._waiting.is_set() and taken == self._taken
            taken, waited = self._taken, waited + tick if still else 0.0
            if waited >= self._seconds:
                self._late = True
                for worker in self._items._workers:
                    worker.kill()
                return

    def _lost(self) -> str:
        """Return which worker failed and what it had in hand; "" where all are well."""
        workers = self._items._workers
        number = self._taken % len(workers)  # whose turn it is
        if self._late:
            how = f"gave nothing for pairs.timeout_seconds = {self._seconds:g} and was killed"
        else:
            for worker in workers:  # one whose pipe has broken is dead in a moment
                worker.join(1.0 / len(workers))
            codes = {place: worker.exitcode for place, worker in enumerate(workers) if worker.exitcode is not None}
            if not codes:
                return ""
            number, code = next(iter(codes.items()))
            how = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
            if code == -signal.SIGKILL:
                how += ", as when memory is short (then lower pairs.workers)"
        return f"worker {number + 1} of {len(workers)} (process {workers[number].pid}) {how}{self._in_hand(number)}"

    def _in_hand(self, number: int) -> str:
        doing, clip = (int(self._notes[number, column]) for column in (DOING, CLIP))
        if not doing:
            return ""
        found = list[str]()
        # In a thread: where the worker hangs on a dead mount, so would this.
        looking = threading.Thread(target=lambda: found.append(self._key(clip)), daemon=True)
        looking.start()
        looking.join(_END_SECONDS)
        key = f", clip {found[0]}{' or one read with it' if doing == READING else ''}" if found else ""
        catalogue = self._dataset.catalogue
        return f"; in hand: {catalogue.shards[int(catalogue.shard[clip])].path}{key}"

    def _key(self, clip: int) -> str:
        """Return the key of a clip, which is found by where its first frame lies."""
        catalogue, one = self._dataset.catalogue, np.array([clip])
        entry = catalogue.shards[int(catalogue.shard[clip])]
        (place,) = catalogue.pictures(one, 0 * one)
        (table,) = Dataset(self._dataset.store).tables([entry], "key", "mjpg_offset")
        return table.text("key", int(np.searchsorted(table["mjpg_offset"], place.start, side="right")) - 1)
