"""What the index knows of one shard: its name, its clips, and the rows of the inputs that were meant for it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from ..format.clip import FORMAT_VERSION
from ..store import Root, Store
from ..stores.open import open_store
from .layout import MANIFEST, RECORDS, record_path


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """What the index knows of a complete shard, and the ledger's rows of the inputs that were meant for it."""

    path: str
    split: str
    size: int
    sha256: str
    md5: str
    """Of the tar, for loaders that know no better."""
    clips: int
    frames: int
    seconds: float
    """Length of all its sounds."""
    table_sha256: str
    """Of the file of the shard's table; "" where no clip was packed."""
    clips_digest: str
    """Of the content of the table, which does not depend on who wrote it; "" where no clip was packed."""
    ledger: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return {"format": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ShardRecord":
        """Make the record from decoded JSON; raises KeyError or TypeError on a wrong shape."""
        known = {field.name: values[field.name] for field in fields(cls)}
        return cls(**(known | {"ledger": tuple(values["ledger"])}))


def read_record(path: Path) -> ShardRecord:
    """Read one shard's record. Raises ShardFormatError when it is damaged."""
    return parse_record(path.read_bytes(), str(path))


def parse_record(data: bytes, path: str) -> ShardRecord:
    """Return the record that a file holds. Raises ShardFormatError, naming the file, when it is damaged."""
    try:
        return ShardRecord.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ShardFormatError(f"the index record {path} is damaged ({error})") from error


def record_names(store: Store) -> list[str]:
    """Return the paths of all records under the root, by split and number.

    Raises:
        DatasetMismatchError: where nothing can be listed, as over HTTP, and there is no manifest.
        ShardFormatError: when that is damaged.
    """
    if store.lists:
        return [path for path in store.list(RECORDS) if path.endswith(".json")]
    where = f"{store.url}/{MANIFEST}"
    try:
        values = json.loads(store.read(MANIFEST))
        tables = [entry["table"] for entry in values["shards"]]
        return sorted([*values.get("empty", []), *(record_path(PurePosixPath(path).stem) for path in tables)])
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
