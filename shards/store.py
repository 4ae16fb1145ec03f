"""What a store of a dataset's files is, wherever they lie: in a folder, an object store or behind HTTP.

A store is small and picklable. It opens nothing before the first byte is asked for, and then once a process.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple, Protocol, TypeAlias


class ByteRange(NamedTuple):
    """The bytes [start, stop) of a file."""

    path: str
    """The file's path under the root."""
    start: int
    stop: int


@dataclass(slots=True)
class Traffic:
    """What a store has moved in this process so far; threads may add to one."""

    requests: int = 0
    bytes: int = 0
    retries: int = 0
    seconds: float = 0.0
    """Time spent waiting for bytes, summed over all requests, also those that ran side by side."""
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def add(self, other: "Traffic") -> None:
        """Add what another counter has."""
        with self._lock:
            self.requests += other.requests
            self.bytes += other.bytes
            self.retries += other.retries
            self.seconds += other.seconds

    def __reduce__(self) -> tuple[type["Traffic"], tuple[int, int, int, float]]:
        """Copy the counts; a lock is of one process."""
        return Traffic, (self.requests, self.bytes, self.retries, self.seconds)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a remote store is waited for."""

    attempts: int = 10
    """Failures in a row, with less than 1 MiB between them, before it is given up; fewer where they help less."""
    outage_seconds: float = 600.0
    """A server that has answered before, and then does not or says that it is overloaded, is waited for so long."""
    tell_seconds: float = 60.0
    """How often that is told."""
    first_wait: float = 0.1
    """Seconds before the second attempt at most; they double up to `longest_wait`, and each is drawn at random from its
    upper half."""
    longest_wait: float = 15.0
    connect_seconds: float = 5.0
    stall_seconds: float = 10.0
    """A connection that gives no byte for so long is dropped, and the request resumed."""
    slowest: int = 16 * 1024
    """So is one that gives fewer bytes a second than this over `slow_seconds` of waiting."""
    slow_seconds: float = 20.0
    range_seconds: float = 60.0
    """A range that takes longer as a whole is asked for again chunk by chunk, where its speed can be watched."""


class Store(Protocol):
    """A dataset's files. Paths are relative to the root, with `/`; every error is a ShardError.

    All methods raise MissingObjectError where the file is not there, StoreAccessError where it may not be read,
    MissingBucketError, ObjectChangedError and StoreUnreachableError as their names say.
    """

    @property
    def url(self) -> str:
        """The root, for messages, without credentials."""

    @property
    def is_local(self) -> bool:
        """Whether `url` is a folder of this machine. Elsewhere each request waits: ask early, and for much at once."""

    @property
    def survives_fork(self) -> bool:
        """Whether a forked child may go on reading; else workers are to be spawned."""

    @property
    def traffic(self) -> Traffic:
        """What was moved in this process."""

    @property
    def lists(self) -> bool:
        """Whether names can be listed."""

    def read(self, path: str, most: int) -> bytes:
        """Return a whole file.

        Args:
            most: bytes that a sound file of its kind has at most.

        Raises:
            StoreError: when it has more bytes; then none is read.
        """

    def read_all(self, paths: Iterable[str], most: int) -> Iterator[bytes]:
        """Yield whole files in the order of their paths, several in flight; `most` and errors as in `read`."""

    def size(self, path: str) -> int:
        """Return the length of a file in bytes."""

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return pieces of files in the order asked for, many in flight; neighbours are fetched as one.

        Raises:
            ShardTruncatedError: when a file ends before the end of a range.
        """

    def stream(self, path: str, start: int, stop: int) -> AbstractContextManager[BinaryIO]:
        """Open the bytes [start, stop) of a file to be read forward; exactly those are given, each once.

        Raises:
            ShardTruncatedError: when the file ends before `stop`, here or while reading.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the paths of all files below a folder, "" for all, sorted.

        Raises:
            StoreError: over HTTP, which has no listing.
        """


Root: TypeAlias = str | Path | Store
"""A dataset's root as the functions of this package take it."""
