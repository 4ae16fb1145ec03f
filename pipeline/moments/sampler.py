"""The stream of moments: `(seed, step)` in, the same batch out, whoever asks.

    order ──> samples of a chunk ──> the task's request ──> bytes ──> arrays ──> this worker's part of a batch

A batch of all ranks is a row of chunks (see order.py). A rank makes the chunks of its share of each batch, and its
workers divide those among them, so each reads few places of the corpus at once.

A shard that is short, altered or gone, or that holds a frame which is no JPEG, ends the stream with an error that
names it. Where the settings allow some such shards (`max_bad_shards`), clips of the next sound shard come in place of
its own, and it is counted.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, groupby, islice
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from avcorr.shards.store import Root
from avcorr.shards.stores.open import open_store

from ..errors import PairError
from ..settings import StreamSettings
from .catalogue import Catalogue
from .jpegs import JpegFrames
from .order import Ints, Order, Samples
from .reading import DOING, MADE, BadShardError, Fetched, Reader
from .stages import Meter, Stages
from .task import Request, Task

logger = logging.getLogger(__name__)
Batch = TypeVar("Batch")
_NUMPY = {torch.uint8: np.uint8, torch.int16: np.int16}

_AHEAD = 8
"""Chunks fetched together from a remote store in the global order."""

_FETCHES = 2
"""Blocks of different streams that a worker fetches from a remote store at once; each may take 100 MB meanwhile."""


class Part(NamedTuple):
    """A worker's part of a batch, and how it was made."""

    columns: Sequence[Tensor]
    """Frames, or the columns of JpegFrames where the device decodes; sound; the task's targets."""
    bad_shards: dict[str, str]
    """Shards that the worker has passed over so far, with what was wrong."""
    stages: Stages
    """What the worker has done since its last part."""


class Share(NamedTuple):
    """Items [start, stop) of the same chunk of every batch."""

    chunk: int
    start: int
    stop: int


class Place(NamedTuple):
    """Items [start, stop) of one chunk of a batch."""

    samples: Samples
    start: int
    stop: int


class MomentDataset(IterableDataset[Part], Generic[Batch]):
    """Endless batches of a task's items in parts; MomentLoader puts them together.

    The sequence of all ranks' items depends on the dataset, the settings, the task, `batch_size` and `seed`, and on
    nothing else.

    Args:
        root: where the dataset lies: a path, an address, or an open store.
        settings: how moments are read.
        task: what is asked for of each clip.
        batch_size: items in a batch of all ranks together.
        seed: decides the order and the task's draws.
        rank, ranks: which of how many training processes this is.

    Attributes:
        start: the step that iteration begins with; may be set before it.
        notes: int64 (W, 3): what each worker notes, as `reading` says, in memory that all see.

    Raises:
        DatasetMismatchError: when `root` lacks the split.
        PairError: when the split cannot give such batches.
    """

    def __init__(
        self, root: Root, settings: StreamSettings, task: Task[Batch], *, batch_size: int, seed: int, rank: int = 0,
        ranks: int = 1, start: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if batch_size % ranks:
            raise PairError(f"a batch of {batch_size} pairs cannot be divided among {ranks} processes")
        self.settings, self.task, self.start, self.ranks = settings, task, start, ranks
        self.notes: Tensor | None = None
        self.store = open_store(root)
        self.catalogue = Catalogue(self.store, settings.split, settings.window_seconds)
        task.require(self.catalogue)
        self.order = Order(
            self.catalogue.shard, seed=seed, batch_size=batch_size, per_clip=settings.per_clip,
            block_clips=settings.block_clips,
        )  # fmt: skip
        self.shares = _shares(batch_size // ranks * rank, batch_size // ranks, self.order.chunk_size)

    def parts(self, workers: int) -> int:
        """Return in how many parts each batch of this rank is made by so many workers.

        From a remote store in many, so that each worker reads few blocks; from a folder, which is read by the frame,
        in one, which nobody has to put together.
        """
        if self.store.is_local:
            return 1
        return max(size for size in range(1, min(max(workers, 1), len(self.shares)) + 1) if max(workers, 1) % size == 0)

    def draw(self, samples: Samples) -> Request:
        """Return what the task asks for of a chunk's samples."""
        rng = np.random.default_rng([self.order.seed, samples.epoch, 2, samples.number])
        return self.task.draw(samples, self.catalogue, rng)

    def __iter__(self) -> Iterator[Part]:
        """Yield this worker's parts. Part p of step n is the item (n - start) * parts + p of all workers in turn."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        parts = self.parts(workers)
        part, team, teams = worker % parts, worker // parts, workers // parts
        shares = self.shares[len(self.shares) * part // parts : len(self.shares) * (part + 1) // parts]
        note = np.zeros(3, np.int64) if self.notes is None else self.notes[worker].numpy()
        for item in _Worker(self, note).parts(shares, self.start + team, teams):
            note[DOING], note[MADE] = 0, note[MADE] + 1
            yield item
            del item  # or it is in memory while the next is made


class _Worker:
    """What one process makes of the stream: it draws, reads and decodes; threads fetch from a remote store."""

    def __init__(self, dataset: MomentDataset[Any], note: Ints) -> None:
        self._settings, self._store, self._catalogue = dataset.settings, dataset.store, dataset.catalogue
        self._order, self._task, self._device = dataset.order, dataset.task, dataset.settings.decode == "device"
        self._dataset = dataset
        self._meter, self._reader = Meter(dataset.store), Reader(dataset.store, dataset.catalogue, note)
        self._threads = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch")
        self._lock = Lock()
        self._bad: dict[int, str] = {}

    def parts(self, shares: Sequence[Share], start: int, every: int) -> Iterator[Part]:
        """Yield the parts of every so many steps."""
        streams = [self._stream(self._places(share, start, every)) for share in shares]
        try:
            for row in zip(*streams, strict=True):
                columns = self._decode(row)
                bad = {self._catalogue.shards[shard].path: problem for shard, problem in self._bad.items()}
                made = Part(columns, bad, self._meter.take(sum(place.stop - place.start for place, _ in row)))
                began = time.perf_counter()
                yield made
                del row, columns, made
                self._meter.add("idle_seconds", time.perf_counter() - began)
        finally:
            self._threads.shutdown(cancel_futures=True)  # nobody wants the blocks that are fetched ahead any more

    def _places(self, share: Share, start: int, every: int) -> Iterator[Place]:
        """Yield the same items of every so many steps."""
        for step in count(start, every):
            with self._meter.measure("draw"):
                place = Place(self._order.samples(step, share.chunk), share.start, share.stop)
            yield place

    def _stream(self, places: Iterator[Place]) -> Iterator[tuple[Place, Fetched]]:
        """Yield one chunk of each step, not decoded yet. A block is fetched as a whole, and the next one meanwhile."""
        if self._store.is_local:  # reading ahead is the kernel's work
            for place in places:
                yield place, self._fetch([place])[0]
            return
        blocks = self._blocks(places)

        def submit() -> tuple[list[Place], Future[list[Fetched]]]:
            block = next(blocks)
            return block, self._threads.submit(self._fetch, block)

        waiting = submit()
        while True:
            with self._meter.measure("read_wait"):
                current = zip(waiting[0], waiting[1].result(), strict=True)
            waiting = submit()
            yield from current

    def _blocks(self, places: Iterator[Place]) -> Iterator[list[Place]]:
        """Group places whose clips lie side by side; where the order is global, any few."""
        if not self._settings.block_clips:
            while True:
                yield list(islice(places, _AHEAD))
        for _, group in groupby(places, key=lambda place: (place.samples.epoch, place.samples.block)):
            yield list(group)

    def _fetch(self, places: Sequence[Place]) -> list[Fetched]:
        """Return the bytes of each place's items; the store is asked for all of them together."""
        while True:
            with self._meter.measure("draw"):
                requests = [self._draw(place) for place in places]
                rows = self._reader.locate(requests)
            try:
                with self._meter.measure("read"):
                    return self._reader.read(requests, rows)
            except BadShardError as problem:
                self._pass_over(problem)

    def _draw(self, place: Place) -> Request:
        samples = place.samples
        if self._bad:
            samples = samples._replace(clips=self._catalogue.replace_clips(samples.clips, self._bad))
        return self._dataset.draw(samples).part(place.start, place.stop)

    def _pass_over(self, problem: BadShardError) -> None:
        """Replace a shard's clips from now on, or raise what is wrong with it."""
        allowed = self._settings.max_bad_shards
        with self._lock:
            if problem.shard in self._bad:
                return  # another thread has met it
            bad = {**self._bad, problem.shard: str(problem.error)}  # a new one: threads may be reading the old one
            if len(bad) > allowed or len(bad) == len(self._catalogue.shards):
                raise problem.error
            self._bad = bad
            logger.warning("passed over, %d of at most %d: %s", len(bad), allowed, problem.error)

    def _decode(self, row: Sequence[tuple[Place, Fetched]]) -> list[Tensor]:
        """Decode some chunks of one batch, one behind the other; other clips in place of those of a bad shard."""
        chunks, made = [fetched for _, fetched in row], list[Tensor]()
        while not made:
            for number, problem in self._try(chunks, made):
                self._meter.add("decode_errors", 1)
                self._pass_over(problem)
                (chunks[number],) = self._fetch([row[number][0]])
        columns = zip(*(fetched.request.targets for fetched in chunks), strict=True)
        return [*made, *(torch.from_numpy(np.concatenate(column)) for column in columns)]

    def _try(self, chunks: Sequence[Fetched], made: list[Tensor]) -> Iterator[tuple[int, BadShardError]]:
        """Put frames and sound of the chunks into `made`; or yield the first chunk of a bad shard, and its error."""
        side = self._settings.frame_size
        with self._meter.measure("assemble"):
            total = 0 if self._device else sum(len(fetched.jpegs) for fetched in chunks)
            frames = empty(total, side, side, 3, dtype=torch.uint8)
            width = self._task.width(self._catalogue)
            audio = empty(sum(len(fetched.sounds) for fetched in chunks), width, dtype=torch.int16)
        placed, frame, sound = list[JpegFrames](), 0, 0
        for number, fetched in enumerate(chunks):
            sounds = audio[sound : sound + len(fetched.sounds)].numpy()
            try:
                with self._meter.measure("decode"):
                    if self._device:
                        placed.append(self._reader.place(fetched, side, sounds))
                    else:
                        self._reader.decode(fetched, frames[frame : frame + len(fetched.jpegs)].numpy(), sounds)
            except BadShardError as problem:
                yield number, problem
                return
            frame, sound = frame + len(fetched.jpegs), sound + len(fetched.sounds)
        made += [*(map(torch.cat, zip(*placed, strict=True)) if self._device else [frames]), audio]


def _shares(first: int, size: int, chunk_size: int) -> list[Share]:
    """Return the chunks, or parts of chunks, that hold items [first, first + size) of a batch."""
    shares: list[Share] = []
    for chunk in range(first // chunk_size, -(-(first + size) // chunk_size)):
        begin = chunk * chunk_size
        shares.append(Share(chunk, max(first - begin, 0), min(first + size - begin, chunk_size)))
    return shares


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """Return a tensor that is not filled yet: in a worker process in memory that the trainer sees, too.

    What a worker makes elsewhere is copied there on its way, page by page, as it is by `default_collate` without this.
    """
    if get_worker_info() is None:
        # numpy asks the kernel for huge pages, torch does not: to touch small ones first costs a third of a pair.
        return torch.from_numpy(np.empty(shape, _NUMPY[dtype]))
    # As default_collate does it.
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage, 0, shape)  # type: ignore[no-any-return, call-overload]
