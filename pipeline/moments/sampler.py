"""The stream of pairs: `(seed, step)` in, the same batch out, whoever asks.

    order ──> visits of a cell ──> draws ──> bytes of frames and windows ──> arrays ──> this worker's part of a batch

A batch of all ranks is a row of cells (see order.py). A rank makes the cells of its share of each batch, and its
workers divide those among them, so each reads few places of the corpus at once.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, groupby, islice
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from avcorr.shards.store import Root
from avcorr.shards.stores.open import is_remote, open_store

from ..correspondence.draw import MATCH
from ..errors import PairError
from ..settings import PairSettings
from .batches import PairBatch, empty
from .catalogue import Catalogue
from .jpegs import JpegBatch, Placed
from .order import Order
from .reading import Fetched, Place, Reader
from .stages import Meter, Stages
from .turbojpeg import load_library

_AHEAD = 8
"""Cells fetched together from a remote store in the global order."""


_FETCHES = 2
"""Windows of different lanes that a worker fetches from a remote store at once; each may take 100 MB meanwhile."""


class Part(NamedTuple):
    """A worker's part of a batch, and how it was made."""

    pairs: PairBatch | JpegBatch
    bad_shards: dict[str, str]
    """What the worker has passed over so far."""
    stages: Stages
    """What it has done since its last part."""


class PairDataset(IterableDataset[Part]):
    """Endless batches of pairs in parts; PairLoader puts them together.

    The sequence of all ranks' pairs depends on the dataset, the settings, `batch_size` and `seed`, and on nothing else.

    Args:
        root: where the dataset lies: a path, an address, or an open store.
        settings: how pairs are drawn.
        batch_size: pairs in a batch of all ranks together.
        seed: decides order, frames, crops and negatives.
        rank, ranks: which of how many training processes this is.

    Attributes:
        start: the step that iteration begins with; may be set before it.
        made: (W,) parts that each worker has made, in memory that all see, where somebody wants to know.

    Raises:
        DatasetMismatchError: when `root` lacks the split.
        PairError: when the split cannot give such batches.
    """

    def __init__(
        self,
        root: Root,
        settings: PairSettings,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        start: int = 0,
    ) -> None:
        super().__init__()
        if batch_size % ranks:
            raise PairError(f"a batch of {batch_size} pairs cannot be divided among {ranks} processes")
        if settings.decode == "crop":
            load_library()  # here, where an error of it is read, and not in each worker
        self.settings, self.start = settings, start
        self.made: torch.Tensor | None = None
        self.store = open_store(root)
        self.catalogue = Catalogue(self.store, settings.split, settings.window_seconds)
        if len(np.unique(self.catalogue.video)) < 2:
            raise PairError(
                f"{self.store.url} has one source video in {settings.split!r}; pairs need clips of two at least"
            )
        self.order = Order(
            self.catalogue.shard, seed=seed, batch_size=batch_size, per_clip=settings.per_clip,
            window_clips=settings.window_clips,
        )  # fmt: skip
        self.cells = _share(batch_size // ranks * rank, batch_size // ranks, self.order.cell_size)

    def parts(self, workers: int) -> int:
        """Return in how many parts each batch of this rank is made by so many workers.

        From a remote store in many, so that each worker reads few windows; from a folder, which is read by the frame,
        in one, which nobody has to put together.
        """
        if not is_remote(self.store.url):
            return 1
        return max(size for size in range(1, min(max(workers, 1), len(self.cells)) + 1) if max(workers, 1) % size == 0)

    def __iter__(self) -> Iterator[Part]:
        """Yield this worker's parts. Part p of step n is the item (n - start) * parts + p of all workers in turn."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        parts = self.parts(workers)
        part, team, teams = worker % parts, worker // parts, workers // parts
        cells = self.cells[len(self.cells) * part // parts : len(self.cells) * (part + 1) // parts]
        meter = Meter(self.store)
        reader = Reader(self.store, self.catalogue, self.order, self.settings, meter)
        threads = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch")
        lanes = [self._lane(reader, meter, threads, _places(cell, self.start + team, teams)) for cell in cells]
        try:
            for row in zip(*lanes, strict=True):
                pairs = self._decode(reader, meter, row)
                made = Part(pairs, reader.bad, meter.take(len(pairs.matches)))
                if self.made is not None:
                    self.made[worker] += 1
                began = time.perf_counter()
                yield made
                meter.add("idle", time.perf_counter() - began)
        finally:
            threads.shutdown(cancel_futures=True)  # nobody wants the windows that are fetched ahead any more

    def _decode(self, reader: Reader, meter: Meter, row: Sequence[Fetched]) -> PairBatch | JpegBatch:
        """Decode some cells of one batch, one behind the other; or leave that to the device that trains."""
        count, side, first = sum(len(fetched.jpegs) for fetched in row), self.settings.frame_size, 0
        later, placed = self.settings.decode == "device", list[Placed]()
        with meter.measure("assemble"):
            frames = empty(0 if later else count, side, side, 3, dtype=torch.uint8)
            audio = empty(count, self.catalogue.window, dtype=torch.int16)
        kinds, videos = np.empty(count, np.int8), np.empty(count, np.int64)
        for fetched in row:
            here = slice(first, first + len(fetched.jpegs))
            if later:
                draws, crops = reader.place(fetched, audio[here].numpy())
                placed.append(crops)
            else:
                draws = reader.decode(fetched, frames[here].numpy(), audio[here].numpy())
            kinds[here], videos[here] = draws.kinds, self.catalogue.video[draws.clips]
            first = here.stop
        columns = [torch.from_numpy(column) for column in (kinds == MATCH, videos, kinds)]
        if later:
            jpegs = [torch.cat(column) for column in zip(*placed, strict=True)]
            return JpegBatch(*[*jpegs, audio, *columns])
        return PairBatch(frames, audio, *columns)

    def _lane(
        self, reader: Reader, meter: Meter, threads: ThreadPoolExecutor, places: Iterator[Place]
    ) -> Iterator[Fetched]:
        """Yield one cell of each step, not decoded yet. A window is fetched as a whole, and the next one meanwhile."""
        if not is_remote(self.store.url):  # reading ahead is the kernel's work
            for place in places:
                yield from reader.fetch([place])
            return
        windows = self._windows(places)
        waiting: Future[list[Fetched]] = threads.submit(reader.fetch, next(windows))
        while True:
            with meter.measure("read_wait"):
                current = waiting.result()
            waiting = threads.submit(reader.fetch, next(windows))
            yield from current

    def _windows(self, places: Iterator[Place]) -> Iterator[list[Place]]:
        """Group places whose clips lie side by side; where the order is global, any few."""
        if not self.settings.window_clips:
            while True:
                yield list(islice(places, _AHEAD))
        for _, group in groupby(places, key=self._window):
            yield list(group)

    def _window(self, place: Place) -> tuple[int, int]:
        visits = self.order.visits(place.step, place.cell)
        return visits.epoch, visits.window


def _places(cell: Place, start: int, every: int) -> Iterator[Place]:
    """Yield the same cell of every so many steps."""
    return (cell._replace(step=step) for step in count(start, every))


def _share(first: int, size: int, cell_size: int) -> list[Place]:
    """Return the cells, or parts of cells, that hold pairs [first, first + size) of a batch."""
    shares: list[Place] = []
    for cell in range(first // cell_size, -(-(first + size) // cell_size)):
        begin = cell * cell_size
        shares.append(Place(0, cell, max(first - begin, 0), min(first + size - begin, cell_size)))
    return shares
