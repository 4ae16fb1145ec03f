"""Files that people drop on the page: decoded like any hostile video, kept only as vectors."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import BinaryIO

from avcorr.model.embedding.embedder import Embedder
from avcorr.pipeline.decoding.ffmpeg import Ffmpeg, find_ffmpeg
from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.sources.archive import MemoryFile
from avcorr.retrieval.errors import RetrievalError
from avcorr.retrieval.query import Query, file_query
from avcorr.shards.format.jpeg import MOST_PIXELS

from .errors import BusyError, ExploreError, UnknownError

MARK = "~"
"""First letter of the ids of uploads, and of no clip's key."""
KEPT = 256
"""Uploads that can be asked with again."""
AT_ONCE = 2
WAITING = 4
"""Uploads that wait for their turn; others are turned away."""
PIECE = 1 << 16
MEMORY_BYTES = 1 << 30
"""For all that is decoded at once."""


class Uploads:
    """The files that were dropped; threads may share it.

    A file never gets a name on a disk: while it arrives, the server keeps what is more than 512 KiB in an unnamed file
    in the temporary folder; while it is decoded it lies in memory, in ffmpeg's own process with limits on its memory
    and its time; and of it remain the vectors. limit: bytes that a file may have.
    """

    def __init__(self, embedder: Embedder, limit: int) -> None:
        self._embedder, self.limit = embedder, limit
        self._backend = Ffmpeg(find_ffmpeg(), max_pixels=MOST_PIXELS, memory_bytes=MEMORY_BYTES // AT_ONCE)
        self._places, self._turns = BoundedSemaphore(AT_ONCE + WAITING), BoundedSemaphore(AT_ONCE)
        self._queries: OrderedDict[str, Query] = OrderedDict()
        self._lock = Lock()

    def add(self, body: BinaryIO, name: str) -> tuple[str, Query]:
        """Decode a file and return the id that it can be asked with, and the query.

        Raises ExploreError when it is empty, too large, or cannot be decoded, BusyError when too many others are.
        """
        with self._turn():
            file, digest = self._receive(body)
            try:
                query = replace(file_query(Path(file.path), self._embedder, self._backend), name=name)
            except (MediaError, RetrievalError) as error:
                raise ExploreError(str(error).replace(file.path, name)) from error
        known = MARK + digest[:24]
        with self._lock:
            self._queries[known] = query
            self._queries.move_to_end(known)
            if len(self._queries) > KEPT:
                self._queries.popitem(last=False)
        return known, query

    def get(self, known: str) -> Query:
        """Return the query of a file. Raises UnknownError where it is not kept any more."""
        with self._lock:
            query = self._queries.get(known)
        if query is None:
            raise UnknownError("this file is not kept any more; drop it again")
        return query

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise BusyError("other files are being read now; try again in a few seconds")
        try:
            with self._turns:
                yield
        finally:
            self._places.release()

    def _receive(self, body: BinaryIO) -> tuple[MemoryFile, str]:
        file, digest = MemoryFile(), hashlib.sha256()
        while piece := body.read(PIECE):
            if file.size + len(piece) > self.limit:
                raise ExploreError(f"the file is larger than {self.limit / 1e6:g} MB; cut it shorter")
            file.write(piece)
            digest.update(piece)
        if not file.size:
            raise ExploreError("the file is empty")
        return file, digest.hexdigest()
