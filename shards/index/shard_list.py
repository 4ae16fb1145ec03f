"""The shards of a dataset: as the manifest `__index__/index.json` names them, and as their records do.

The manifest has each shard's size, counts and checksums, and nothing of its clips. It is written last of all, so its
presence means that the dataset is whole, and it is removed before any shard changes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter

from avcorr.json_file import parse_json

from ..errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from ..format.clip import FORMAT_VERSION
from ..store import Root, Store
from ..stores.open import open_store
from .facts import require_dataset
from .layout import MANIFEST, RECORDS, SPLIT, record_path, write_json
from .record import MOST_RECORD, ShardEntry, ShardRecord, check_entry, parse_record

_MOST = 1 << 28
"""Bytes of a manifest: that of half a million shards."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `__index__/index.json` holds."""

    format: int
    shards: tuple[Annotated[ShardEntry, AfterValidator(check_entry)], ...]
    """Those that hold clips, by split and number."""
    empty: tuple[Annotated[str, Field(pattern=rf"^{RECORDS}/{SPLIT}-[0-9]{{6}}\.json$")], ...] = ()
    """Paths of the records of shards that hold no clip, for those who cannot list a folder."""


@cache
def _schema() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def write_manifest(root: Path, entries: Iterable[ShardEntry]) -> None:
    """Write the manifest; to be done last: its presence means that the whole dataset is there."""
    values: dict[str, Any] = {"format": FORMAT_VERSION, "shards": [asdict(entry) for entry in entries]}
    known = {ShardEntry(**entry).stem for entry in values["shards"]}
    if empty := sorted(record_path(path.stem) for path in (root / RECORDS).glob("*.json") if path.stem not in known):
        values["empty"] = empty
    write_json(root / MANIFEST, values)


def read_manifest(root: Root) -> Manifest:
    """Read the manifest.

    Raises:
        DatasetMismatchError: when there is none, because there is no dataset or its sharding did not reach its end.
        ShardFormatError: when it is damaged.
        StoreError: when the store cannot be read.
    """
    store = open_store(root)
    try:
        found = parse_json(store.read(MANIFEST, _MOST), _schema())
        if found.format != FORMAT_VERSION:
            raise ValueError(f"format {found.format}; this program reads format {FORMAT_VERSION}")
        stems = [entry.stem for entry in found.shards]
        if stems != sorted({*stems}) or not all(entry.clips for entry in found.shards):
            raise ValueError("shards: not each once, by split and number, with clips")
        return found
    except MissingObjectError as error:
        require_dataset(store)
        raise DatasetMismatchError(
            f"{store.url} has no {MANIFEST}: its sharding did not reach the end; run the same avcorr shard again"
        ) from error
    except ValueError as error:
        text = f"the index {store.url}/{MANIFEST} is damaged ({error}); write it again with: avcorr repair"
        raise ShardFormatError(text) from error


def record_names(store: Store) -> list[str]:
    """Return the paths of all records under the root, by split and number.

    Raises:
        DatasetMismatchError: where nothing can be listed, as over HTTP, and there is no manifest.
        ShardFormatError: when that is damaged.
    """
    if store.lists:
        return [path for path in store.list(RECORDS) if path.endswith(".json")]
    manifest = read_manifest(store)
    return sorted([*manifest.empty, *(record_path(entry.stem) for entry in manifest.shards)])


def iter_records(root: Root) -> Iterator[ShardRecord]:
    """Yield the record of every complete shard, by split and number. Raises ShardFormatError on a damaged record."""
    store = open_store(root)
    names = record_names(store)
    for name, data in zip(names, store.read_all(names, MOST_RECORD), strict=True):
        yield parse_record(data, f"{store.url}/{name}")


def iter_entries(root: Root) -> Iterator[ShardEntry]:
    """Yield what the records say of every shard that holds clips, one ledger in memory at a time; raises the same."""
    return (record.entry for record in iter_records(root) if record.clips)
