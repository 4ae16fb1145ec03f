"""The writing side of an object store: whole objects, which appear when their checksum is known to be good."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from avcorr.files import open_file

from ..errors import MissingObjectError, ShardFormatError, StoreError
from ..store import RetryPolicy
from .open import open_store
from .remote import RemoteStore

_PART_BYTES = 8 << 20
_MOST_PARTS = 9000
"""S3 takes 10,000."""
_IN_FLIGHT = 4
_T = TypeVar("_T")


class Bucket:
    """A prefix of a bucket that objects are written to.

    Args:
        address: s3, gs or az.
        retry: how long the store is waited for.

    Raises:
        StoreError: when nothing can be written there, as over HTTP.
    """

    def __init__(self, address: str, retry: RetryPolicy | None = None) -> None:
        store = open_store(address, retry=retry)
        if not isinstance(store, RemoteStore) or not store.lists:
            raise StoreError(f"{address} cannot be written to; give a folder, s3://, gs:// or az://")
        self.store = store

    def objects(self) -> dict[str, tuple[int, str]]:
        """Return size and ETag of all objects by path."""
        return self.store.objects("")

    def put(self, path: str, data: bytes) -> None:
        """Write a small object."""
        import obstore

        self._retry(path, lambda: obstore.put(self._client(), path, data, use_multipart=False))

    def put_file(self, path: str, file: Path, sha256: str, going_on: Callable[[], bool] = lambda: True) -> None:
        """Write a large object in parts. It appears whole, or not at all where the file has another checksum.

        Args:
            path, file: of the object, and what to write.
            sha256: what the file must have.
            going_on: asked before each part; False drops the upload.

        Raises:
            ShardFormatError: when the file is not what it should be.
            StoreError: when the store does not take it.
        """
        import obstore

        size = file.stat().st_size
        part = max(_PART_BYTES, -(-size // _MOST_PARTS))

        def write() -> Any:
            parts = _parts(file, part, sha256, going_on)
            return obstore.put(self._client(), path, parts, chunk_size=part, max_concurrency=_IN_FLIGHT)

        self._retry(path, write)
        found = self._retry(path, lambda: obstore.head(self._client(), path))
        if found["size"] != size:
            raise StoreError(f"{self.store.url}/{path} has {found['size']} bytes; {size} were written: run again")

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        import obstore

        with suppress(MissingObjectError):
            self._retry(path, lambda: obstore.delete(self._client(), path))

    def _retry(self, path: str, call: Callable[[], _T]) -> _T:
        """Call until it works, or until what is wrong is clear. Each part has the client's own retries besides."""
        return self.store.retries(path).repeat(call)

    def _client(self) -> Any:
        return self.store.connection.client(writing=True)


def _parts(file: Path, size: int, sha256: str, going_on: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the parts of a file; an error before the end makes the client drop what it has sent."""
    digest = hashlib.sha256()
    with open_file(file) as stream:
        while data := stream.read(size):
            if not going_on():
                raise StoreError(f"{file} was not uploaded: interrupted")
            digest.update(data)
            yield data
    if digest.hexdigest() != sha256:
        raise ShardFormatError(f"{file} is not what was packed; check the disk, delete it, and run the same again")
