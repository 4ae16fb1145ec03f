"""Objects in a bucket, or files behind an HTTP server, through obstore."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO, TypeVar, cast

from ..ahead import map_ahead
from ..errors import MissingObjectError, StoreAccessError, StoreError
from ..store import ByteRange, Patience, Traffic
from .attempts import Attempts
from .body import Body, Connection, Version
from .client import client_errors, open_client, without_password
from .direct import Direct
from .faults import Remedy, changed
from .merge import Request, cut, merge

IN_FLIGHT = 64
"""Requests at once."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Process:
    """What a store has opened in one process."""

    pid: int
    client: Any = None
    direct: Direct | None = None
    threads: ThreadPoolExecutor | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    """Of the objects that were read in pieces: all pieces must be of one version."""
    traffic: Traffic = field(default_factory=Traffic)


class RemoteStore:
    """An object store or an HTTP server.

    Args:
        address: s3, gs, az, http or https, as `open_store` checked it.
        patience: how long answers are waited for.
    """

    def __init__(self, address: str, patience: Patience) -> None:
        self._address, self._patience = address.rstrip("/"), patience
        self.url = without_password(self._address)
        self._own = _Process(0)

    def __getstate__(self) -> tuple[str, Patience]:
        return self._address, self._patience

    def __setstate__(self, state: tuple[str, Patience]) -> None:
        RemoteStore.__init__(self, *state)

    @property
    def traffic(self) -> Traffic:
        """What was moved in this process."""
        return self._process().traffic

    @property
    def lists(self) -> bool:
        """Whether names can be listed: not over HTTP."""
        return not self._address.startswith("http")

    def read(self, path: str) -> bytes:
        """Return a whole object."""
        data, traffic, _ = self._fetch(path)
        self.traffic.add(traffic)
        return data

    def read_all(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Yield whole objects in the order of their paths, several in flight."""
        for data, traffic, _ in self._side_by_side(self._fetch, paths):
            self.traffic.add(traffic)
            yield data

    def size(self, path: str) -> int:
        """Return the length of an object in bytes."""
        version = self._head(path)
        self._remember(path, version)
        return version.size

    def version(self, path: str) -> Version:
        """Return which version of an object this process reads; asked for once."""
        versions = self._process().versions
        if path not in versions:
            self._remember(path, self._head(path))
        return versions[path]

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return pieces of objects in the order asked for, 64 requests at once.

        Raises:
            ShardTruncatedError: when an object ends before the end of a range.
        """
        found: list[bytes] = [b""] * len(ranges)
        requests = merge(ranges)
        versions = self._process().versions

        def fetch(number: int) -> tuple[list[tuple[int, bytes]], Traffic, Version]:
            request = requests[number]
            data, traffic, version = self._fetch_piece(request, versions.get(request.path))
            return list(cut(request, data, ranges)), traffic, version

        answers = self._side_by_side(fetch, range(len(requests)))
        for request, (pieces, traffic, version) in zip(requests, answers, strict=True):
            self.traffic.add(traffic)
            self._remember(request.path, version)
            for number, piece in pieces:
                found[number] = piece
        return found

    def _fetch_piece(self, request: Request, version: Version | None) -> tuple[memoryview, Traffic, Version]:
        """Return what was asked for, by the short cut as far as it leads; valid until this thread fetches again."""
        path, start, stop = request.path, request.start, request.stop
        if version is None or not self._address.startswith("s3"):
            data, traffic, version = self._fetch(path, start, stop, version)
            return memoryview(data), traffic, version
        head, traffic = self._direct().receive(path, start, stop, version)
        if len(head) == stop - start:
            return head, traffic, version
        rest, more, version = self._fetch(path, start + len(head), stop, version)
        traffic.add(more)
        return memoryview(b"".join((head, rest))), traffic, version

    @contextmanager
    def stream(self, path: str, start: int, stop: int) -> Iterator[BinaryIO]:
        """Open the bytes [start, stop) of an object to be read forward; resumed where the connection breaks."""
        with Body(self._connection(), path, start, stop, self._process().versions.get(path)) as body:
            try:
                body.open()
                if body.version is not None:
                    self._remember(path, body.version)
                yield cast(BinaryIO, body)
            finally:
                self.traffic.add(body.traffic)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the paths of all objects below a folder, sorted. Raises StoreError over HTTP."""
        return iter(sorted(self.objects(prefix)))

    def objects(self, prefix: str) -> dict[str, tuple[int, str]]:
        """Return size and ETag of all objects below a folder by path. Raises StoreError over HTTP."""
        import obstore

        if not self.lists:
            raise StoreError(f"{self.url} cannot be listed: HTTP has no listing")
        attempts = Attempts(self._patience, f"{self.url}/{prefix}", self.url, self.traffic)
        while True:
            self.traffic.add(Traffic(requests=1))
            try:
                pages = obstore.list(self._client(), prefix or None, chunk_size=1000)
                return {meta["path"]: (meta["size"], meta["e_tag"] or "") for page in pages for meta in page}
            except client_errors() as error:
                if attempts.failed(error) is Remedy.RENEW:
                    self._renew()

    def _head(self, path: str) -> Version:
        import obstore

        attempts = Attempts(self._patience, f"{self.url}/{path}", self.url, self.traffic)
        while True:
            self.traffic.add(Traffic(requests=1))
            try:
                return Version.of(obstore.head(self._client(), path))
            except client_errors() as error:
                try:
                    remedy = attempts.failed(error)
                except (MissingObjectError, StoreAccessError):
                    self._fetch(path, 0, 1)  # HEAD has no body to say what is missing or wrong; GET has
                    raise
            if remedy is Remedy.RENEW:
                self._renew()

    def _fetch(
        self, path: str, start: int = 0, stop: int | None = None, version: Version | None = None
    ) -> tuple[bytes, Traffic, Version]:
        with Body(self._connection(), path, start, stop, version) as body:
            try:
                data = body.read()
            except Exception:
                self.traffic.add(body.traffic)
                raise
            assert body.version is not None
            return data, body.traffic, body.version

    def _side_by_side(self, call: Callable[[Any], _T], items: Iterable[Any]) -> Iterator[_T]:
        """Yield the results in order, with at most 64 calls begun and not yet taken."""
        items = iter(items)
        first = list(islice(items, 2))
        if len(first) < 2:
            yield from map(call, first)
            return
        process = self._process()
        if process.threads is None:
            process.threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="store")
        yield from map_ahead(process.threads, call, chain(first, items), IN_FLIGHT)

    def _remember(self, path: str, version: Version) -> None:
        """Hold an object to the version that reading began with. Raises ObjectChangedError where it is another."""
        known = self._process().versions.setdefault(path, version)
        if not known.is_same(version):
            raise changed(f"{self.url}/{path}")

    def _connection(self) -> Connection:
        return Connection(self._client, self._renew, self.url, self._patience)

    def _client(self) -> Any:
        process = self._process()
        if process.client is None:
            process.client = open_client(self._address, self._patience)
        return process.client

    def _direct(self) -> Direct:
        process = self._process()
        if process.direct is None:
            process.direct = Direct(self._client, self._patience)
        return process.direct

    def _renew(self) -> None:
        self._process().client = None

    def _process(self) -> _Process:
        """Return what this process has opened; a child forgets what its parent had."""
        if self._own.pid != os.getpid():
            self._own = _Process(os.getpid())
        return self._own
