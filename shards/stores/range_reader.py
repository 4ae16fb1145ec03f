"""Ranges of remote objects: read forward, resumed where they break off, never from another version."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BufferedIOBase
from typing import Any

from ..errors import ShardTruncatedError, StoreError, StoreUnreachableError
from ..store import Traffic
from .client import Connection, client_errors
from .retries import Retries, changed, find_foreign


class ChunkReader(BufferedIOBase, ABC):
    """A file that is read forward, made of chunks of any size; large reads are copied once."""

    def __init__(self) -> None:
        self._chunk = memoryview(b"")

    @abstractmethod
    def next_chunk(self) -> bytes:
        """Return the next bytes, none at the end."""

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, fewer only at the end."""
        missing = 1 << 62 if size is None or size < 0 else size
        parts: list[memoryview] = []
        while missing:
            if not self._chunk:
                self._chunk = memoryview(self.next_chunk())
                if not self._chunk:
                    break
            part, self._chunk = self._chunk[:missing], self._chunk[missing:]
            parts.append(part)
            missing -= len(part)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    read1 = read  # what a TextIOWrapper calls

    def close(self) -> None:
        """Let go of what was read."""
        self._chunk = memoryview(b"")
        super().close()


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


class RangeReader(ChunkReader):
    """The bytes [start, stop) of an object.

    Args:
        connection: to the store.
        path: the object's under the root.
        start, stop: which bytes; no `stop` for all there are.
        version: which version it must be; None for the one that is there now.
        most: bytes that it may have where no `stop` is given.
    """

    def __init__(
        self,
        connection: Connection,
        path: str,
        start: int = 0,
        stop: int | None = None,
        version: Version | None = None,
        most: int = 1 << 62,
    ) -> None:
        super().__init__()
        self._most = most
        self._connection, self._path = connection, path
        self._where = f"{connection.url}/{path}"
        self.traffic = Traffic()
        self._retries = Retries(connection, path, self.traffic)
        self._start, self._position, self._stop = start, start, stop
        self._chunks: Iterator[bytes] | None = None
        self._slow_bytes, self._slow_seconds = 0, 0.0
        self._broken: StoreUnreachableError | None = None
        self.version = version

    def open(self) -> None:
        """Send the request, so that what is wrong with it is told here."""
        while self._chunks is None and self._position != self._stop:
            try:
                answer = self._ask(self._connection.client())
            except client_errors() as error:
                self._failed(error)
            else:
                self._chunks = iter(answer.stream(min_chunk_size=1))  # larger chunks could hide a trickle for ever
                self._slow_bytes, self._slow_seconds = 0, 0.0

    def close(self) -> None:
        """Let go of the connection."""
        self._chunks = None
        super().close()

    def fetch(self) -> memoryview:
        """Return the whole range, received by one call of the client; `stop` must be given.

        Chunks cost several times the CPU time. They are read only where that call failed or took too long: a range
        that trickles cannot be told from a slow one before its end.
        """
        assert self._stop is not None
        began, failure, data = time.perf_counter(), None, memoryview(b"")
        answer = None
        try:
            answer = self._ask(self._connection.client(seconds=self._connection.policy.range_seconds))
            began = time.perf_counter()
            size = self._stop - self._start
            # One chunk, as cheap as `answer.bytes()`, which would go on where the server does not end.
            data = memoryview(next(answer.stream(min_chunk_size=size), b""))[:size]
        except client_errors() as error:
            failure = error
        self.traffic.seconds += time.perf_counter() - began
        if len(data) == self._stop - self._start:
            self.traffic.bytes += len(data)
            return data
        self._failed(failure if failure and answer is None else self._breaks_off(self._start + len(data)))
        return memoryview(self.read())

    def next_chunk(self) -> bytes:
        """Wait for the next chunk; return none at the end. Raises as `Store.stream` says."""
        while self._position != self._stop:
            self.open()
            if self._position == self._stop:
                break  # the object is empty
            assert self._stop is not None
            began = time.perf_counter()
            chunk = b""
            with suppress(*client_errors()):  # the server is there, so it is no outage that the body ends
                chunk = next(self._chunks or iter(()), b"")[: self._stop - self._position]
            seconds = time.perf_counter() - began
            self.traffic.add(Traffic(0, len(chunk), 0, seconds))
            self._position += len(chunk)
            if not chunk:
                self._failed(self._breaks_off(self._position))
                continue
            self._note_speed(len(chunk), seconds)
            return chunk
        return b""

    def _ask(self, client: Any) -> Any:
        """Return the answer with what is left, of the version that reading began with."""
        import obstore

        began = time.perf_counter()
        options: Any = dict(self.version.condition) if self.version else {}
        if self._stop is not None:
            options["range"] = (self._position, self._stop)
        elif self._position:
            options["range"] = {"offset": self._position}
        self.traffic.requests += 1
        try:
            answer = obstore.get(client, self._path, options=options)
        finally:
            self.traffic.seconds += time.perf_counter() - began
        self._retries.answered()
        version = Version.of(answer.meta)
        if self.version is None:
            attributes = answer.attributes
            self._refuse(attributes.get("Content-Type", ""), attributes.get("Content-Encoding", ""))
        if self.version is not None and not version.is_same(self.version):
            raise changed(self._where)
        self.version = version
        if self._stop is None:
            if version.size > self._most:
                text = f"{self._where} has {version.size} bytes; a file of its kind has at most {self._most}"
                raise StoreError(text)
            self._stop = version.size
        if answer.range != (self._position, self._stop):
            raise ShardTruncatedError(f"{self._where} has {version.size} bytes, not {self._stop}: copy it again")
        return answer

    def _note_speed(self, size: int, seconds: float) -> None:
        """Drop the connection when so little came that it is as good as dead."""
        self._slow_bytes += size
        self._slow_seconds += seconds
        policy = self._connection.policy
        if self._slow_seconds >= policy.slow_seconds:
            speed = self._slow_bytes / self._slow_seconds
            self._slow_bytes, self._slow_seconds = 0, 0.0
            if speed < policy.slowest and self._position != self._stop:
                self._failed(
                    StoreUnreachableError(f"{self._where} comes at {speed:.0f} bytes/s, fewer than {policy.slowest}")
                )

    def _breaks_off(self, position: int) -> StoreUnreachableError:
        return StoreUnreachableError(f"{self._where} breaks off at byte {position} of {self._stop}")

    def _refuse(self, kind: str, encoding: str, head: bytes = b"") -> None:
        """Raise StoreError where an answer is a page, or compressed."""
        if foreign := find_foreign(kind, encoding, head):
            raise StoreError(f"{self._where} {foreign}")

    def read_whole(self) -> bytes:
        """Return all that is left. Raises StoreError, too, where it is a page or compressed by its first bytes."""
        data = self.read()
        self._refuse("", "", data[:100])
        return data

    def _failed(self, failure: Exception) -> None:
        self._chunks = None
        if isinstance(failure, StoreUnreachableError):
            self._broken = failure
        try:
            self._retries.failed(failure, self._position - self._start)
        except StoreError:
            if type(failure).__name__ != "NotSupportedError":
                raise
            if self._broken is not None:  # and a server without ranges cannot go on there
                raise self._broken from failure
            import obstore

            with suppress(*client_errors()):  # asked for all, it tells what it answers
                attributes = obstore.get(self._connection.client(), self._path).attributes
                self._refuse(attributes.get("Content-Type", ""), attributes.get("Content-Encoding", ""))
            raise
        except ShardTruncatedError as error:  # about an object that was long enough before
            if self.version is not None and self.version.size > self._position:
                raise changed(self._where) from error
            raise
