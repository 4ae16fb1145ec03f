"""The hidden folder `.avcorr/` beside the shards: what the dataset is, what each shard holds, what failed.

ROOT/train/clips-train-000000.tar         shards, and nothing else that a loader could trip over
ROOT/.avcorr/dataset.json                 name, settings, fingerprint of the source list
ROOT/.avcorr/shards/train-000000.npz      where every frame and sample lies in the shard (see columns.py)
ROOT/.avcorr/shards/train-000000.json     one record a shard, written after both: its presence means complete
ROOT/.avcorr/ledger.jsonl                 one row an input: packed, failed or skipped, and why
ROOT/.avcorr/index.json                   all shards with sizes and checksums; written last of all
ROOT/.avcorr/work/                        shards in the making, with their journals
"""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .clip import FORMAT_VERSION
from .errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from .ledger import write_sorted
from .record import IndexedClip, ShardName, ShardRecord, parse_record, read_record
from .store import Root, Store
from .stores.open import open_store

__all__ = [
    "HIDDEN", "MANIFEST", "Index", "IndexedClip", "ShardName", "ShardRecord", "columns_path", "is_json_of",
    "iter_ledger", "iter_records", "parse_record", "read_dataset", "read_record", "record_names", "record_path",
    "require_dataset", "sync_folder", "write_atomically", "write_json", "write_ledger",
]  # fmt: skip

HIDDEN = ".avcorr"
MANIFEST = "index.json"


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a temporary name in the same folder, fsync, rename."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def is_json_of(data: bytes, value: Any) -> bool:
    """Return whether a file's bytes are JSON of a value, whatever the spaces."""
    try:
        return bool(json.loads(data) == value)
    except (ValueError, RecursionError):
        return False


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is there wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as the files behind them."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Index:
    """The index of one dataset root, read once.

    Args:
        root: where the dataset lies.

    Raises:
        DatasetMismatchError: when `root` is no dataset, or one of another format.
        ShardFormatError: when a record cannot be read.
        StoreError: when the store cannot be read.
    """

    def __init__(self, root: Root) -> None:
        self.store = open_store(root)
        self.dataset = require_dataset(self.store)
        self.shards = tuple(iter_records(self.store))

    def of_split(self, split: str) -> tuple[ShardRecord, ...]:
        """Return the shards of one split in the order of their numbers.

        Raises:
            DatasetMismatchError: when there is none, naming the splits that exist.
        """
        shards = tuple(shard for shard in self.shards if shard.split == split and shard.clips)
        if not shards:
            have = ", ".join(self.splits()) or "none at all"
            raise DatasetMismatchError(f"{self.store.url} has no clips in the split {split!r}; it has {have}")
        return shards

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that hold clips, sorted."""
        return tuple(sorted({shard.split for shard in self.shards if shard.clips}))

    def videos(self, split: str) -> set[str]:
        """Return the source videos whose clips lie in a split."""
        return {clip.video for shard in self.shards if shard.split == split for clip in shard.clips}

    def ledger(self) -> Iterator[Mapping[str, Any]]:
        """Yield the ledger: one row an input."""
        try:
            yield from iter_ledger(self.store)
        except MissingObjectError:
            return


def read_dataset(root: Root) -> dict[str, Any] | None:
    """Return `.avcorr/dataset.json`, or None where there is none."""
    store = open_store(root)
    path = f"{store.url}/{HIDDEN}/dataset.json"
    try:
        dataset: dict[str, Any] = json.loads(store.read(f"{HIDDEN}/dataset.json"))
        version = dataset["format"]
    except MissingObjectError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ShardFormatError(f"{path} cannot be read ({error}); make the shards again in another folder") from error
    if version != FORMAT_VERSION:
        raise DatasetMismatchError(f"{path} has format {version}; this program reads format {FORMAT_VERSION}")
    return dataset


def require_dataset(root: Root) -> dict[str, Any]:
    """Return `.avcorr/dataset.json`. Raises DatasetMismatchError where there is none."""
    store = open_store(root)
    dataset = read_dataset(store)
    if dataset is None:
        raise DatasetMismatchError(
            f"{store.url} holds no shards (no {HIDDEN}/dataset.json); make some with: avcorr shard"
        )
    return dataset


def record_path(root: Path, name: ShardName) -> Path:
    """Return where the record of a shard lies."""
    return root / HIDDEN / "shards" / f"{name.stem}.json"


def columns_path(root: Path, name: ShardName) -> Path:
    """Return where the columns of a shard lie."""
    return record_path(root, name).with_suffix(".npz")


def record_names(store: Store) -> list[str]:
    """Return the paths of all records under the root, by split and number.

    Raises:
        DatasetMismatchError: where nothing can be listed, as over HTTP, and there is no manifest.
        ShardFormatError: when that is damaged.
    """
    if store.lists:
        return [path for path in store.list(f"{HIDDEN}/shards") if path.endswith(".json")]
    where = f"{store.url}/{HIDDEN}/{MANIFEST}"
    try:
        values = json.loads(store.read(f"{HIDDEN}/{MANIFEST}"))
        columns = [entry["columns"] for entry in values["shards"]]
        return sorted([*values.get("empty", []), *(f"{path.removesuffix('.npz')}.json" for path in columns)])
    except MissingObjectError as error:
        raise DatasetMismatchError(f"{where} is not there; over HTTP only a finished dataset can be read") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ShardFormatError(f"the index {where} is damaged ({error})") from error


def iter_records(root: Root) -> Iterator[ShardRecord]:
    """Yield the record of every complete shard, by split and number. Raises ShardFormatError on a damaged record."""
    store = open_store(root)
    names = record_names(store)
    for name, data in zip(names, store.read_all(names), strict=True):
        yield parse_record(data, f"{store.url}/{name}")


def iter_ledger(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the rows of the ledger, one in memory. Raises MissingObjectError where there is none."""
    path = f"{HIDDEN}/ledger.jsonl"
    with store.stream(path, 0, store.size(path)) as file:
        for line in io.TextIOWrapper(file, encoding="utf-8"):
            yield json.loads(line)


def write_ledger(root: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the ledger, one JSON object a line, sorted by input."""
    write_sorted(root / HIDDEN / "ledger.jsonl", rows)
