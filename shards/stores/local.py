"""Files in a folder."""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, cast

from avcorr.files import open_file, read_file, reason

from ..errors import MissingObjectError, ShardTruncatedError, StoreError
from ..store import ByteRange, Traffic


@dataclass(frozen=True)
class LocalStore:
    """A folder; its methods are those of `Store`. What is no regular file is refused, not waited for."""

    is_local = survives_fork = lists = True

    root: Path
    traffic: Traffic = field(default_factory=Traffic, compare=False)

    @property
    def url(self) -> str:
        return str(self.root)

    def read(self, path: str, most: int) -> bytes:
        began = time.perf_counter()
        with self._told(path):
            data = read_file(self.root / path, most)
        self._count(len(data), began)
        return data

    def read_all(self, paths: Iterable[str], most: int) -> Iterator[bytes]:
        return (self.read(path, most) for path in paths)

    def size(self, path: str) -> int:
        with self._told(path):
            status = (self.root / path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{self.root / path} is no regular file")
        return status.st_size

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        began = time.perf_counter()
        found: list[bytes] = [b""] * len(ranges)

        def path_of(number: int) -> str:
            return ranges[number].path

        for path, numbers in groupby(sorted(range(len(ranges)), key=path_of), path_of):
            with self._told(path), open_file(self.root / path) as file:
                for number in numbers:
                    _, start, stop = ranges[number]
                    found[number] = data = os.pread(file.fileno(), stop - start, start)
                    if len(data) < stop - start:
                        raise self._short(path, os.fstat(file.fileno()).st_size, stop)
        self._count(sum(map(len, found)), began)
        return found

    @contextmanager
    def stream(self, path: str, start: int, stop: int) -> Iterator[BinaryIO]:
        with self._told(path):
            file = open_file(self.root / path)
        with file:
            size = os.fstat(file.fileno()).st_size
            if size < stop:
                raise self._short(path, size, stop)
            file.seek(start)
            file_part = _BoundedFile(file, f"{self.url}/{path}", stop - start)
            try:
                yield cast(BinaryIO, file_part)
            finally:
                self.traffic.add(file_part.traffic)

    def list(self, prefix: str) -> Iterator[str]:
        found: list[str] = []
        for parent, _, names in os.walk(self.root / prefix):
            folder = Path(parent).relative_to(self.root)
            found += ((folder / name).as_posix() for name in names)
        return iter(sorted(found))

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Turn an OSError about a file into the StoreError that names it."""
        try:
            yield
        except FileNotFoundError as error:
            raise MissingObjectError(f"{self.root / path} is not there") from error
        except OSError as error:
            raise StoreError(f"{self.root / path} {reason(error)}") from error

    def _count(self, size: int, began: float) -> None:
        self.traffic.add(Traffic(1, size, 0, time.perf_counter() - began))

    def _short(self, path: str, size: int, stop: int) -> ShardTruncatedError:
        return ShardTruncatedError(f"{self.root / path} has {size} bytes, not {stop}: copy or make it again")


class _BoundedFile(BufferedIOBase):
    """The next bytes of an open file, and not one more or less."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self._file, self._name, self._left = file, name, size
        self.traffic = Traffic(requests=1)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        began = time.perf_counter()
        try:
            data = self._file.read(wanted)
        except OSError as error:
            raise StoreError(f"{self._name} {reason(error)}") from error
        self.traffic.seconds += time.perf_counter() - began
        self.traffic.bytes += len(data)
        self._left -= len(data)
        if len(data) < wanted:
            raise ShardTruncatedError(f"{self._name} became shorter while it was read: copy or make it again")
        return data

    read1 = read  # what a TextIOWrapper calls
