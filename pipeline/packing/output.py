"""Where shards are made: a folder, or a work folder from which they are sent to a bucket as they are finished.

    work folder ──> pack ──> shard published ──> bucket: tar, table, record ──> tar deleted here
                                                 at the end: all the rest, the manifest last

The bucket holds what a local folder would hold, byte for byte. The work folder keeps the index; where it is lost, it is
fetched from the bucket again, so that another machine can go on.
"""

import hashlib
import logging
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avcorr.files import local_path, read_file, remove_left, require_writable
from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.index.facts import DatasetFacts, read_dataset
from avcorr.shards.index.layout import (
    COLUMNS,
    DATASET,
    HIDDEN,
    INDEX,
    MANIFEST,
    RECORDS,
    TABLES,
    WORK,
    ShardName,
    write_json,
)
from avcorr.shards.index.record import read_record
from avcorr.shards.index.shard_list import iter_records
from avcorr.shards.stores.bucket import Bucket
from avcorr.shards.stores.local import LocalStore
from avcorr.shards.stores.open import open_store

from ..settings import ShardSettings
from ..sources.source import SourceList

logger = logging.getLogger(__name__)

_SPEED_ONLY = {"ffmpeg", "timeout_seconds"}
"""Settings that change no byte of a shard."""
_AHEAD = 2
"""Shards that wait to be sent while the next is made."""
_MOST = 1 << 32
"""Bytes of a file of the index, of which energon's database is the largest."""
_OWN = f"{HIDDEN}/"
"""What stays in the work folder."""


class Output:
    """A folder that shards are made in, to be used as a context."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self) -> None:
        """Check that shards can be written here.

        Raises:
            DatasetMismatchError: when foreign shards are there.
            OutputError: when nothing can be written there.
        """
        require_writable(self.root)
        if read_dataset(self.root) is None and next(self.root.glob("*/*.tar"), None):
            raise DatasetMismatchError(
                f"{self.root} holds tar files that are not of this program; choose another --out"
            )

    def begin(self, sources: SourceList, settings: ShardSettings, version: str) -> None:
        """Write what the dataset is, or check that the folder holds just that; `version` is the decoder's.

        Raises:
            DatasetMismatchError: when the folder holds something else.
            OutputError: when it cannot be written to.
        """
        self.check()
        for part in (self.root / INDEX, self.root / HIDDEN):
            for below in (part, *part.rglob("*/")):
                remove_left(below)
        identity = DatasetFacts(
            settings=settings.model_dump(exclude=_SPEED_ONLY), ffmpeg=version, inputs=len(sources.sources),
            sources=sources.fingerprint(),
        )  # fmt: skip
        present = read_dataset(self.root)
        if present is not None and present != identity:
            if any(record.clips for record in iter_records(LocalStore(self.root))) or self._has_clips_in_work():
                raise _mismatch(self.root, asdict(present), asdict(identity))
            logger.info("%s holds no clip yet: it begins anew with these settings and sources", self.root)
            for folder in (RECORDS, TABLES, COLUMNS, WORK):
                shutil.rmtree(self.root / folder, ignore_errors=True)
            present = None
        if present is None:
            write_json(self.root / DATASET, asdict(identity))

    def _has_clips_in_work(self) -> bool:
        """Return whether a shard that was not finished holds a clip."""
        return any(path.stat().st_size for path in (self.root / WORK).glob("**/*.tar"))

    def published(self, name: ShardName) -> None:
        """Take note of a shard that is whole."""

    def fetch(self, name: ShardName) -> None:
        """Bring a shard into the folder because its clips are needed."""

    def finish(self) -> None:
        """Take what is there when everything is packed and described."""

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _mismatch(root: Path, present: Mapping[str, Any], wanted: Mapping[str, Any]) -> DatasetMismatchError:
    names = {name for name in {*present, *wanted} if present.get(name) != wanted.get(name)}
    if names <= {"inputs", "sources"}:
        return DatasetMismatchError(
            f"{root} was made of {present.get('inputs')} inputs, and the source names {wanted['inputs']} now, or other "
            "ones; shard what is new to another --out, or give the source as it was to go on (inputs whose files came "
            "later: --retry missing)"
        )
    return DatasetMismatchError(
        f"{root} holds shards of another configuration ({'; '.join(_differences(present, wanted))}); "
        "choose another --out, or use the same settings and sources to go on with it"
    )


def _differences(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    old, new = ({**values["settings"], **values} for values in (present, wanted))
    for name in sorted({*old, *new} - {"settings"}):
        if old.get(name) != new.get(name):
            yield (
                "other source files" if name == "sources" else f"{name}: {old.get(name)!r} there, {new.get(name)!r} now"
            )


def open_output(place: str | Path, work: str | Path | None = None) -> Output:
    """Return where shards go.

    Args:
        place: a folder, or the address of a bucket.
        work: folder in which shards for a bucket are made; None: one below the user's cache folder.

    Raises:
        StoreError: when the address cannot be written to.
    """
    store = open_store(place)
    if isinstance(store, LocalStore):
        return Output(store.root)
    if work is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        work = Path(base, "avcorr", hashlib.sha256(str(place).rstrip("/").encode()).hexdigest()[:16])
    return BucketOutput(str(place), local_path(work))


class BucketOutput(Output):
    """A dataset that grows in a bucket; `root` is the work folder. An error drops what is still to be sent."""

    def __init__(self, address: str, work: Path) -> None:
        super().__init__(work)
        self._bucket = Bucket(address)
        self._there: dict[str, tuple[int, str]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._waiting: deque[Future[None]] = deque()
        self._going_on = True

    def __enter__(self) -> "BucketOutput":
        """Bring the work folder to the state of the bucket.

        Raises:
            DatasetMismatchError: when the bucket holds something else.
            StoreError: when it cannot be read.
        """
        self._there = self._bucket.objects()
        here, url = read_dataset(self.root), self._bucket.store.url
        if DATASET not in self._there:
            foreign = next((path for path in self._there if path.endswith(".tar") and here is None), None)
            if foreign:
                raise DatasetMismatchError(f"{url} holds {foreign}, which is not of this program; choose another --out")
        elif here is None:
            self._restore()
        elif read_dataset(self._bucket.store) != here:
            raise DatasetMismatchError(
                f"{url} holds another dataset than the work folder {self.root}; "
                "choose another --out, or delete that folder"
            )
        for record in list(iter_records(self.root)):
            name, (size, _) = ShardName.parse(record.path), self._there.get(record.path, (0, ""))
            if (self.root / record.path).exists():
                self._waiting.append(self._thread.submit(self._send, name))  # an earlier run did not come to it
            elif record.clips and size != record.size:
                logger.warning("%s/%s is gone and is made again", url, record.path)
                (self.root / name.record).unlink()
                (self.root / name.table).unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._going_on = False
        self._thread.shutdown(wait=True, cancel_futures=True)

    def published(self, name: ShardName) -> None:
        """Send a shard that is whole, in the background; wait while too many are under way."""
        self._waiting.append(self._thread.submit(self._send, name))
        while len(self._waiting) > _AHEAD or self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def fetch(self, name: ShardName) -> None:
        """Fetch a shard into the work folder again."""
        self._drain()
        path = self.root / name.path
        if not path.exists():
            record = read_record(self.root / name.record)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.root / WORK / f"{name.stem}.fetched"
            with self._bucket.store.stream(name.path, 0, record.size) as source, partial.open("wb") as target:
                while data := source.read(1 << 20):
                    target.write(data)
            partial.replace(path)

    def finish(self) -> None:
        """Send what is not there yet, the manifest last. Raises StoreError when the bucket does not take it."""
        self._drain()
        for path in sorted(self.root.glob("*/*.tar")):
            self._send(ShardName.parse(path.relative_to(self.root).as_posix()))
        names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()]
        for name in sorted(names, key=lambda name: (name == MANIFEST, name)):
            if not name.startswith(_OWN):
                self._put(name)

    def _send(self, name: ShardName) -> None:
        """Send tar, table and record in this order, so that a record in the bucket means a whole shard.

        What describes the dataset as a whole is deleted first: it would be out of date.
        """
        self._put(DATASET)
        record_file, tar = self.root / name.record, self.root / name.path
        if tar.exists():
            record = read_record(record_file)
            for stale in (MANIFEST, f"{name.path}.idx"):
                if self._there.pop(stale, None):
                    self._bucket.delete(stale)
            self._bucket.put_file(name.path, tar, record.sha256, lambda: self._going_on)
            tar.unlink()
        for path in (self.root / name.table, record_file):
            if path.exists():
                self._put(path.relative_to(self.root).as_posix())

    def _put(self, name: str) -> None:
        """Send a small file unless the bucket has the same bytes already, as far as its ETag tells."""
        data = read_file(self.root / name, _MOST)
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
        for name, data in zip(names, self._bucket.store.read_all(names, _MOST), strict=True):
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
