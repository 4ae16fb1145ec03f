"""The manifest `__index__/index.json`: every shard with its size, counts and checksums, and nothing of its clips.

It is written last of all, so its presence means that the dataset is whole, and it is removed before any shard changes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from ..format.clip import FORMAT_VERSION
from ..store import Root
from ..stores.open import open_store
from .facts import require_dataset
from .layout import MANIFEST, RECORDS, record_path, table_path, write_json
from .record import ShardRecord, read_record


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard in `__index__/index.json`: what loaders need, without its clips and its ledger."""

    path: str
    split: str
    clips: int
    frames: int
    seconds: float
    """Length of all its sounds."""
    bytes: int
    sha256: str
    md5: str
    table: str
    """Path of its table under the root."""
    table_sha256: str
    clips_digest: str
    """Of the table's content."""


def iter_entries(root: Path) -> Iterator[ShardEntry]:
    """Yield an entry for every shard that holds clips, by split and number, one record in memory at a time."""
    for path in sorted((root / RECORDS).glob("*.json")):
        record = read_record(path)
        if record.clips:
            yield describe_shard(path.stem, record)


def describe_shard(stem: str, record: ShardRecord) -> ShardEntry:
    """Return the entry of a shard that holds clips; `stem` is the name of its record."""
    return ShardEntry(
        record.path, record.split, record.clips, record.frames, record.seconds, record.size, record.sha256, record.md5,
        table_path(stem), record.table_sha256, record.clips_digest,
    )  # fmt: skip


def write_manifest(root: Path, entries: Iterable[ShardEntry]) -> None:
    """Write `__index__/index.json`; to be done last: its presence means that the whole dataset is there.

    Records of shards that hold no clip are named too, for those who cannot list a folder.
    """
    values: dict[str, Any] = {"format": FORMAT_VERSION, "shards": [asdict(entry) for entry in entries]}
    known = {Path(entry["table"]).stem for entry in values["shards"]}
    if empty := sorted(record_path(path.stem) for path in (root / RECORDS).glob("*.json") if path.stem not in known):
        values["empty"] = empty
    write_json(root / MANIFEST, values)


def read_manifest(root: Root) -> tuple[ShardEntry, ...]:
    """Read the shards in `__index__/index.json`.

    Raises:
        DatasetMismatchError: when there is none, because there is no dataset or its sharding did not reach its end.
        ShardFormatError: when it is damaged.
        StoreError: when the store cannot be read.
    """
    return load_manifest(root)[0]


def load_manifest(root: Root) -> tuple[tuple[ShardEntry, ...], list[str]]:
    """Return the shards in `__index__/index.json`, and the paths of the records without clips; raises the same."""
    store = open_store(root)
    path = f"{store.url}/{MANIFEST}"
    try:
        values = json.loads(store.read(MANIFEST))
        if values["format"] != FORMAT_VERSION:
            raise ValueError(f"format {values['format']!r}; this program reads format {FORMAT_VERSION}")
        return tuple(map(_entry, values["shards"])), list(values.get("empty", []))
    except MissingObjectError as error:
        require_dataset(store)
        raise DatasetMismatchError(
            f"{store.url} has no {MANIFEST}: its sharding did not reach the end; run the same avcorr shard again"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ShardFormatError(f"the index {path} is damaged ({error}); write it again with: avcorr repair") from error


def _entry(values: Mapping[str, Any]) -> ShardEntry:
    for name, value in values.items():
        if not isinstance(value, str | int | float):
            raise TypeError(f"{name} is {value!r}")
    return ShardEntry(**values)
