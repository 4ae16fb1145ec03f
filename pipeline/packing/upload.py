"""Pack into an object store: shards are made in a work folder, sent when they are whole, and then deleted there.

    work folder ──> pack ──> shard published ──> bucket: tar, columns, record ──> tar deleted here
                                                 at the end: all the rest, the manifest last

The bucket holds what a local folder would hold, byte for byte. The work folder keeps the index; where it is lost, it is
fetched from the bucket again, so that another machine can go on.
"""

import hashlib
import logging
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.index.facts import read_dataset
from avcorr.shards.index.layout import DATASET, HIDDEN, MANIFEST, WORK, ShardName
from avcorr.shards.index.record import read_record
from avcorr.shards.index.shard_list import iter_records
from avcorr.shards.stores.bucket import Bucket

logger = logging.getLogger(__name__)

_OWN = f"{HIDDEN}/"
"""What stays in the work folder."""
_AHEAD = 2
"""Shards that wait to be sent while the next is made."""


def default_work_folder(address: str) -> Path:
    """Return where shards for an address are made unless the user says otherwise: below the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "avcorr" / hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]


class Upload:
    """A dataset that grows in a bucket. Use it as a context: what is still to be sent is dropped on an error.

    Args:
        address: where it is to lie.
        work: the local folder, as `pack` takes it.

    Raises:
        StoreError: when the address cannot be written to.
    """

    def __init__(self, address: str, work: Path) -> None:
        self._bucket, self._work = Bucket(address), work
        self._there: dict[str, tuple[int, str]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._waiting: deque[Future[None]] = deque()
        self._going_on = True

    def begin(self) -> None:
        """Bring the work folder to the state of the bucket; to be called before packing.

        Raises:
            DatasetMismatchError: when the bucket holds something else.
            StoreError: when it cannot be read.
        """
        self._there = self._bucket.objects()
        here = read_dataset(self._work)
        if DATASET not in self._there:
            foreign = next((path for path in self._there if path.endswith(".tar") and here is None), None)
            if foreign:
                raise DatasetMismatchError(
                    f"{self._bucket.store.url} holds {foreign}, which is not of this program; choose another --out"
                )
        elif here is None:
            self._restore()
        elif read_dataset(self._bucket.store) != here:
            raise DatasetMismatchError(
                f"{self._bucket.store.url} holds another dataset than the work folder {self._work}; "
                "choose another --out, or delete that folder"
            )
        for record in list(iter_records(self._work)):
            name, (size, _) = ShardName.parse(record.path), self._there.get(record.path, (0, ""))
            if (self._work / record.path).exists():
                self._waiting.append(self._thread.submit(self._send, name))  # an earlier run did not come to it
            elif record.clips and size != record.size:
                logger.warning("%s/%s is gone and is made again", self._bucket.store.url, record.path)
                (self._work / name.record).unlink()
                (self._work / name.table).unlink(missing_ok=True)

    def published(self, name: ShardName) -> None:
        """Send a shard that is whole, in the background; wait while too many are under way."""
        self._waiting.append(self._thread.submit(self._send, name))
        while len(self._waiting) > _AHEAD or self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def bring(self, name: ShardName) -> None:
        """Fetch a shard into the work folder again, because its clips are needed."""
        self._drain()
        path = self._work / name.path
        if not path.exists():
            record = read_record(self._work / name.record)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._work / WORK / f"{name.stem}.fetched"
            with self._bucket.store.stream(name.path, 0, record.size) as source, partial.open("wb") as target:
                while data := source.read(1 << 20):
                    target.write(data)
            partial.replace(path)

    def finish(self) -> None:
        """Send what is not there yet, the manifest last; to be called when everything is packed and described.

        Raises:
            StoreError: when the bucket does not take it.
        """
        self._drain()
        for path in sorted(self._work.glob("*/*.tar")):
            self._send(ShardName.parse(path.relative_to(self._work).as_posix()))
        files = sorted(path for path in self._work.rglob("*") if path.is_file())
        names = [name for path in files if not (name := path.relative_to(self._work).as_posix()).startswith(_OWN)]
        for name in [name for name in names if name != MANIFEST] + [name for name in names if name == MANIFEST]:
            self._put(name)

    def __enter__(self) -> "Upload":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._going_on = False
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _send(self, name: ShardName) -> None:
        """Send tar, table and record in this order, so that a record in the bucket means a whole shard.

        What describes the dataset as a whole is deleted first: it would be out of date.
        """
        self._put(DATASET)
        record_file, tar = self._work / name.record, self._work / name.path
        if tar.exists():
            record = read_record(record_file)
            for stale in (MANIFEST, f"{name.path}.idx"):
                if self._there.pop(stale, None):
                    self._bucket.delete(stale)
            self._bucket.put_file(name.path, tar, record.sha256, lambda: self._going_on)
            tar.unlink()
        for path in (self._work / name.table, record_file):
            if path.exists():
                self._put(path.relative_to(self._work).as_posix())

    def _put(self, name: str) -> None:
        """Send a small file unless the bucket has the same bytes already, as far as its ETag tells."""
        data = (self._work / name).read_bytes()
        known = (len(data), f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"')
        if self._there.get(name) != known:
            self._bucket.put(name, data)
            self._there[name] = known

    def _drain(self) -> None:
        while self._waiting:
            self._waiting.popleft().result()

    def _restore(self) -> None:
        """Fetch all but the shards, what the dataset is last: the folder counts as one from then on."""
        names = [name for name in sorted(self._there) if not name.endswith(".tar") and not name.startswith(_OWN)]
        names.sort(key=lambda name: name == DATASET)
        logger.info("going on with %s: %d files of its index are fetched", self._bucket.store.url, len(names))
        for name, data in zip(names, self._bucket.store.read_all(names), strict=True):
            path = self._work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
