"""Objects in a bucket, or files behind an HTTP server, through obstore."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

from ..ahead import map_ahead
from ..errors import MissingObjectError, StoreAccessError, StoreError
from ..store import ByteRange, RetryPolicy, Traffic
from .client import Connection, Service, without_password
from .outage import Outage
from .range_reader import RangeReader, Version
from .retries import Retries, changed

IN_FLIGHT = 64
"""Requests at once."""
_GAP = 1 << 19
"""Ranges of one object with fewer bytes between them are fetched as one."""
_LARGEST = 8 << 20
"""Unless the request became larger than this; a single range may be."""
_SLOW_RANGES = 5
"""After so many ranges in a row that took too long as a whole, a process reads them chunk by chunk."""
_T = TypeVar("_T")


@dataclass(slots=True)
class _Process:
    """What a store has opened in one process."""

    pid: int
    connection: Connection
    threads: ThreadPoolExecutor | None = None
    slow_ranges: int = 0
    """Of those fetched as a whole, how many in a row took too long."""
    versions: dict[str, Version] = field(default_factory=dict)
    """Of the objects of which ranges were read: all must be of one version."""
    traffic: Traffic = field(default_factory=Traffic)


class RemoteStore:
    """An object store or an HTTP server; its methods are those of `Store`.

    Args:
        service: the kind of store.
        address: with a scheme of that service.
        policy: how long answers are waited for.
        answered: whether its server has answered before, in another process.

    Raises:
        StoreError: when the address names no bucket or host.
    """

    is_local = survives_fork = False

    def __init__(self, service: Service, address: str, policy: RetryPolicy, answered: bool = False) -> None:
        if not urlsplit(address).netloc:
            raise StoreError(f"{address} names no {service.place}")
        self.service, self.address, self.policy = service, address.rstrip("/"), policy
        self.url = without_password(self.address)
        self._own = self._process_of(0, answered)

    def __reduce__(self) -> tuple[type["RemoteStore"], tuple[Service, str, RetryPolicy, bool]]:
        """Copy what it is; what is open belongs to one process."""
        return RemoteStore, (self.service, self.address, self.policy, self._own.connection.outage.answered)

    @property
    def connection(self) -> Connection:
        """The clients of this process."""
        return self._process().connection

    @property
    def traffic(self) -> Traffic:
        return self._process().traffic

    @property
    def lists(self) -> bool:
        return self.service.lists

    def read(self, path: str, most: int) -> bytes:
        return bytes(self._fetch(path, most=most)[0])

    def read_all(self, paths: Iterable[str], most: int) -> Iterator[bytes]:
        return self._side_by_side(lambda path: self.read(path, most), paths)

    def size(self, path: str) -> int:
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
        found: list[bytes] = [b""] * len(ranges)
        requests, versions = _merge(ranges), self._process().versions

        def fetch(request: tuple[ByteRange, list[int]]) -> Version:
            (path, first, stop), numbers = request
            data, version = self._fetch(path, first, stop, versions.get(path))
            for number in numbers:
                found[number] = bytes(data[ranges[number].start - first : ranges[number].stop - first])
            return version

        for (whole, _), version in zip(requests, self._side_by_side(fetch, requests), strict=True):
            self._remember(whole.path, version)
        return found

    @contextmanager
    def stream(self, path: str, start: int, stop: int) -> Iterator[BinaryIO]:
        with RangeReader(self.connection, path, start, stop, self._process().versions.get(path)) as reader:
            try:
                reader.open()
                if reader.version is not None:
                    self._remember(path, reader.version)
                yield cast(BinaryIO, reader)
            finally:
                self.traffic.add(reader.traffic)

    def list(self, prefix: str) -> Iterator[str]:
        return iter(sorted(self.objects(prefix)))

    def objects(self, prefix: str) -> dict[str, tuple[int, str]]:
        """Return size and ETag of all objects below a folder by path. Raises StoreError over HTTP."""
        import obstore

        if not self.lists:
            raise StoreError(f"{self.url} cannot be listed: HTTP has no listing")

        def objects() -> dict[str, tuple[int, str]]:
            self.traffic.add(Traffic(requests=1))
            pages = obstore.list(self.connection.client(), prefix or None, chunk_size=1000)
            return {meta["path"]: (meta["size"], meta["e_tag"] or "") for page in pages for meta in page}

        return self.retries(prefix).repeat(objects)

    def retries(self, path: str) -> Retries:
        """Return a count of failures for a request about an object."""
        return Retries(self.connection, path, self.traffic)

    def _head(self, path: str) -> Version:
        import obstore

        def head() -> Version:
            self.traffic.add(Traffic(requests=1))
            return Version.of(obstore.head(self.connection.client(), path))

        try:
            return self.retries(path).repeat(head)
        except (MissingObjectError, StoreAccessError):
            self._fetch(path, 0, 1)  # HEAD has no body to say what is missing or wrong; GET has
            raise

    def _fetch(
        self,
        path: str,
        start: int = 0,
        stop: int | None = None,
        version: Version | None = None,
        *,
        most: int = 1 << 62,
    ) -> tuple[memoryview, Version]:
        process = self._process()
        whole = stop is not None and process.slow_ranges < _SLOW_RANGES
        with RangeReader(self.connection, path, start, stop, version, most) as reader:
            began = time.monotonic()
            try:
                data = reader.fetch() if whole else memoryview(reader.read() if stop else reader.read_whole())
            finally:
                process.traffic.add(reader.traffic)
            if whole:
                slow = time.monotonic() - began > self.policy.range_seconds
                process.slow_ranges = process.slow_ranges + 1 if slow else 0
            assert reader.version is not None
            return data, reader.version

    def _side_by_side(self, call: Callable[[Any], _T], items: Iterable[Any]) -> Iterator[_T]:
        """Yield the results in order, with at most 64 calls begun and not yet taken."""
        items = iter(items)
        first = list(islice(items, 2))
        if len(first) < 2:
            return map(call, first)
        process = self._process()
        if process.threads is None:
            process.threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="store")
        return map_ahead(process.threads, call, chain(first, items), IN_FLIGHT)

    def _remember(self, path: str, version: Version) -> None:
        """Hold an object to the version that reading began with. Raises ObjectChangedError where it is another."""
        known = self._process().versions.setdefault(path, version)
        if not known.is_same(version):
            raise changed(f"{self.url}/{path}")

    def _process(self) -> _Process:
        """Return what this process has opened; a child forgets what its parent had."""
        if self._own.pid != os.getpid():
            self._own = self._process_of(os.getpid(), self._own.connection.outage.answered)
        return self._own

    def _process_of(self, pid: int, answered: bool) -> _Process:
        return _Process(pid, Connection(self.service, self.address, self.policy, Outage(answered)))


def _merge(ranges: Sequence[ByteRange]) -> list[tuple[ByteRange, list[int]]]:
    """Return the requests that fetch all ranges, by path and start, and which each answers; empty ones need none."""
    wanted = (number for number, piece in enumerate(ranges) if piece.stop > piece.start)
    requests: list[tuple[ByteRange, list[int]]] = []
    for number in sorted(wanted, key=lambda number: ranges[number]):
        piece = ranges[number]
        last, numbers = requests[-1] if requests else (ByteRange("", 0, 0), [])
        end = max(piece.stop, last.stop)
        if last.path == piece.path and piece.start - last.stop < _GAP and end - last.start <= _LARGEST:
            numbers.append(number)
            requests[-1] = last._replace(stop=end), numbers
        else:
            requests.append((piece, [number]))
    return requests
