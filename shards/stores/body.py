"""A piece of a remote object as a file: read forward, resumed where it breaks off, never from another version."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import ShardTruncatedError, StoreUnreachableError
from ..store import Patience, Traffic
from .attempts import Attempts
from .client import client_errors
from .faults import Remedy, changed
from .pieces import PieceReader


@dataclass(frozen=True, slots=True)
class Version:
    """Which of the objects that bear a name one after another it is."""

    etag: str | None
    modified: datetime
    size: int

    @classmethod
    def of(cls, meta: Any) -> "Version":
        """Return the version that an answer tells of."""
        return cls(meta["e_tag"], meta["last_modified"], meta["size"])

    def is_same(self, other: "Version") -> bool:
        """Return whether both are one object: by ETag; where the server gives none, by time and size."""
        if self.etag or other.etag:
            return self.etag == other.etag
        return (self.modified, self.size) == (other.modified, other.size)

    @property
    def condition(self) -> dict[str, str]:
        """Options that let the server refuse another version; a weak ETag never matches, so it is only compared."""
        return {"if_match": self.etag} if self.etag and not self.etag.startswith("W/") else {}


@dataclass(slots=True)
class Connection:
    """What a body needs of its store."""

    client: Callable[[], Any]
    """Returns the client of this process."""
    renew: Callable[[], None]
    """Drops it, so that the next one reads the credentials again."""
    root: str
    """Address of the store, for messages."""
    patience: Patience


class Body(PieceReader):
    """The bytes [start, stop) of an object.

    Args:
        connection: to the store.
        path: the object's under the root.
        start, stop: which bytes; no `stop` for all there are.
        version: which version it must be; None for the one that is there now.
    """

    def __init__(
        self, connection: Connection, path: str, start: int = 0, stop: int | None = None, version: Version | None = None
    ) -> None:
        super().__init__()
        self._connection, self._path = connection, path
        self._where = f"{connection.root}/{path}"
        self.traffic = Traffic()
        self._attempts = Attempts(connection.patience, self._where, connection.root, self.traffic)
        self._start, self._position, self._stop = start, start, stop
        self._chunks: Iterator[bytes] | None = None
        self._slow_bytes, self._slow_seconds = 0, 0.0
        self.version = version

    def open(self) -> None:
        """Send the request, so that what is wrong with it is told here."""
        while self._chunks is None and self._position != self._stop:
            try:
                self._request()
            except client_errors() as error:
                self._failed(error)

    def close(self) -> None:
        """Let go of the connection."""
        self._chunks = None
        super().close()

    def next_piece(self) -> bytes:
        """Wait for the next chunk; return none at the end. Raises as `Store.stream` says."""
        while self._position != self._stop:
            self.open()
            if self._position == self._stop:
                break  # the object is empty
            assert self._stop is not None
            began = time.perf_counter()
            chunk, failure = b"", None
            try:
                chunk = next(self._chunks or iter(()), b"")[: self._stop - self._position]
            except client_errors() as error:
                failure = error
            seconds = time.perf_counter() - began
            self.traffic.add(Traffic(0, len(chunk), 0, seconds))
            self._position += len(chunk)
            if not chunk:
                self._failed(failure or StoreUnreachableError(f"{self._where} breaks off at byte {self._position}"))
                continue
            self._note_speed(len(chunk), seconds)
            return chunk
        return b""

    def _request(self) -> None:
        """Ask for what is left, of the version that reading began with."""
        import obstore

        began = time.perf_counter()
        options: Any = dict(self.version.condition) if self.version else {}
        if self._stop is not None:
            options["range"] = (self._position, self._stop)
        elif self._position:
            options["range"] = {"offset": self._position}
        self.traffic.requests += 1
        try:
            answer = obstore.get(self._connection.client(), self._path, options=options)
        finally:
            self.traffic.seconds += time.perf_counter() - began
        version = Version.of(answer.meta)
        if self.version is not None and not version.is_same(self.version):
            raise changed(self._where)
        self.version = version
        if self._stop is None:
            self._stop = version.size
        if answer.range != (self._position, self._stop):
            raise ShardTruncatedError(f"{self._where} has {version.size} bytes, not {self._stop}: copy it again")
        self._chunks = iter(answer.stream(min_chunk_size=1))  # larger chunks could hide a trickle for ever
        self._slow_bytes, self._slow_seconds = 0, 0.0

    def _note_speed(self, size: int, seconds: float) -> None:
        """Drop the connection when so little came that it is as good as dead."""
        self._slow_bytes += size
        self._slow_seconds += seconds
        patience = self._connection.patience
        if self._slow_seconds >= patience.floor_seconds:
            speed = self._slow_bytes / self._slow_seconds
            self._slow_bytes, self._slow_seconds = 0, 0.0
            if speed < patience.floor and self._position != self._stop:
                self._failed(
                    StoreUnreachableError(f"{self._where} comes at {speed:.0f} bytes/s, fewer than {patience.floor}")
                )

    def _failed(self, error: Exception) -> None:
        self._chunks = None
        try:
            remedy = self._attempts.failed(error, self._position - self._start)
        except ShardTruncatedError as told:  # said of an object that was long enough before
            if self.version is not None and self.version.size > self._position:
                raise changed(self._where) from told
            raise
        if remedy is Remedy.RENEW:
            self._connection.renew()
