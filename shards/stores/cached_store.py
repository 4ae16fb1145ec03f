"""Blocks of remote objects on a local disk, so that each is fetched once.

A block belongs to one version of an object: its key is a digest of address, ETag and number. So an object that was
replaced is another one, and equal base names in two folders are two objects.
"""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import BinaryIO, Protocol, cast

from ..errors import ShardTruncatedError
from ..store import ByteRange, Store, Traffic
from .cache import Cache
from .range_reader import ChunkReader, Version

BLOCK_BYTES = 1 << 20
_AT_ONCE = 64
"""Blocks fetched together, which bounds the memory."""


class VersionedStore(Store, Protocol):
    """A store that tells versions of a file apart, so that a cache can stand before it."""

    def version(self, path: str) -> Version:
        """Return which version of a file this process reads."""


class CachedStore:
    """A remote store with a cache before it: pieces and streams go through it, small files and listings do not.

    Args:
        store: the remote one.
        cache: where blocks are kept; may be shared by any number of processes and stores.
        block_bytes: their size.
    """

    is_local = False

    def __init__(self, store: VersionedStore, cache: Cache, block_bytes: int = BLOCK_BYTES) -> None:
        self._store, self._cache, self._block = store, cache, block_bytes
        self.url, self.survives_fork, self.lists = store.url, store.survives_fork, store.lists
        self.read, self.read_all, self.list = store.read, store.read_all, store.list

    @property
    def traffic(self) -> Traffic:
        return self._store.traffic

    def size(self, path: str) -> int:
        return self._store.version(path).size

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        found: list[bytes] = [b""] * len(ranges)
        order = sorted(range(len(ranges)), key=lambda number: ranges[number])
        group: list[int] = []
        blocks: dict[ByteRange, None] = {}
        for number in order:
            group.append(number)
            blocks |= dict.fromkeys(self._blocks(ranges[number]))
            if len(blocks) >= _AT_ONCE or number == order[-1]:
                fresh = self._fetch(list(blocks))
                for one in group:
                    found[one] = self._cut(ranges[one], fresh)
                group, blocks = [], {}
        return found

    @contextmanager
    def stream(self, path: str, start: int, stop: int) -> Iterator[BinaryIO]:
        piece = ByteRange(path, start, stop)
        blocks = list(self._blocks(piece))
        with _BlockReader(self._pieces(piece, blocks)) as file:
            yield cast(BinaryIO, file)

    def _pieces(self, piece: ByteRange, blocks: Sequence[ByteRange]) -> Generator[bytes, None, None]:
        """Yield a piece block by block: from the cache, and what is missing through one connection while it lasts."""
        for cached, group in groupby(blocks, lambda block: self._cache.has(self._key(block))):
            run = list(group)
            if cached:
                for block in run:
                    yield self._cut(_overlap(piece, block), {})
            else:
                with self._store.stream(piece.path, run[0].start, run[-1].stop) as file:
                    for block in run:
                        data = file.read(block.stop - block.start)
                        self._cache.keep(self._key(block), data)
                        yield self._cut(_overlap(piece, block), {block: data})

    def _blocks(self, piece: ByteRange) -> Iterator[ByteRange]:
        """Yield the blocks that a piece lies in. Raises ShardTruncatedError when the file ends before it."""
        size = self._store.version(piece.path).size
        if piece.stop > size:
            raise ShardTruncatedError(f"{self.url}/{piece.path} has {size} bytes, not {piece.stop}: copy it again")
        if piece.stop > piece.start:
            for start in range(piece.start // self._block * self._block, piece.stop, self._block):
                yield ByteRange(piece.path, start, min(start + self._block, size))

    def _fetch(self, blocks: Sequence[ByteRange]) -> dict[ByteRange, bytes]:
        """Fetch and keep the blocks that the cache lacks; return those."""
        missing = [block for block in blocks if not self._cache.has(self._key(block))]
        fresh = dict(zip(missing, self._store.read_ranges(missing), strict=True))
        for block, data in fresh.items():
            self._cache.keep(self._key(block), data)
        return fresh

    def _cut(self, piece: ByteRange, fresh: dict[ByteRange, bytes]) -> bytes:
        """Put a piece together from blocks."""
        parts: list[bytes] = []
        for block in self._blocks(piece):
            inside = _overlap(piece, block)
            data: bytes | None
            if block in fresh:
                data = fresh[block][inside.start - block.start : inside.stop - block.start]
            else:
                data = self._cache.read(self._key(block), inside.start - block.start, inside.stop - block.start)
            parts.append(self._store.read_ranges([inside])[0] if data is None else data)  # None: it had to give way
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _key(self, block: ByteRange) -> str:
        version: Version = self._store.version(block.path)
        mark = version.etag or f"{version.modified} {version.size}"
        text = f"{self.url}/{block.path}\n{mark}\n{self._block} {block.start}"
        return hashlib.sha256(text.encode()).hexdigest()


def _overlap(piece: ByteRange, block: ByteRange) -> ByteRange:
    return ByteRange(piece.path, max(piece.start, block.start), min(piece.stop, block.stop))


class _BlockReader(ChunkReader):
    """Blocks that follow each other, as a file."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        super().__init__()
        self._pieces = pieces

    def next_chunk(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        self._pieces.close()
        super().close()
