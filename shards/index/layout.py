"""Layout of a dataset's folder: where the index lies, and what its files are named."""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcorr.files import write_atomically
from avcorr.json_file import load_json

INDEX = "__index__"
"""The folder of the index. It is visible, so that whoever copies, zips or uploads a dataset takes it along; and
`datasets`, which would take other visible files for clips, skips what begins with two underscores."""
DATASET = f"{INDEX}/dataset.json"
MANIFEST = f"{INDEX}/index.json"
LEDGER = f"{INDEX}/ledger.jsonl"
RECORDS = f"{INDEX}/shards"
TABLES = f"{INDEX}/clips"
COLUMNS = f"{INDEX}/columns"
SOURCE_COLUMNS = f"{COLUMNS}/source.parquet"
HIDDEN = ".avcorr"
"""What is no part of the dataset: work in progress, and what is kept to make the next run start sooner."""
WORK = f"{HIDDEN}/work"
CACHE = f"{HIDDEN}/cache"
NAME, SPLIT = "[a-z][a-z0-9_-]{0,30}", "[a-z][a-z0-9]{0,20}"
"""The grammar of a dataset's name and of a split's, as regular expressions."""
STEM = re.compile(rf"({SPLIT})-([0-9]{{6}})")
"""What records and tables are named: split and number."""
_SHARD = re.compile(rf"({SPLIT})/({NAME})-\1-([0-9]{{6}})\.tar")


@dataclass(frozen=True, slots=True, order=True)
class ShardName:
    """Which shard of which split."""

    dataset: str
    split: str
    number: int

    @property
    def stem(self) -> str:
        """Return `<split>-<six digits>`, the name of the shard's record."""
        return f"{self.split}-{self.number:06d}"

    @property
    def path(self) -> str:
        """Return the shard's path under the root; its base name is unique over the splits."""
        return f"{self.split}/{self.dataset}-{self.stem}.tar"

    @property
    def record(self) -> str:
        """Return the path of the shard's record under the root."""
        return record_path(self.stem)

    @property
    def table(self) -> str:
        """Return the path of the shard's table under the root."""
        return table_path(self.stem)

    @classmethod
    def parse(cls, path: str) -> "ShardName":
        """Return which shard a path `<split>/<dataset>-<split>-<six digits>.tar` is. Raises ValueError if none."""
        match = _SHARD.fullmatch(path)
        if match is None:
            raise ValueError(f"{path!r} is no path of a shard: <split>/<name>-<split>-<six digits>.tar")
        return cls(match[2], match[1], int(match[3]))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a temporary name in the same folder, fsync, rename."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def is_json_of(data: bytes, value: Any) -> bool:
    """Return whether a file's bytes are JSON of a value, whatever the spaces."""
    try:
        return bool(load_json(data) == value)
    except ValueError:
        return False


def record_path(stem: str) -> str:
    """Return the path of a record under the root; `stem` is `<split>-<six digits>`."""
    return f"{RECORDS}/{stem}.json"


def table_path(stem: str) -> str:
    """Return the path of a table under the root; `stem` is `<split>-<six digits>`."""
    return f"{TABLES}/{stem}.parquet"


def remove_empty_work(root: Path) -> None:
    """Remove the hidden folder as far as nothing is left in it, so that a finished dataset has none."""
    for folder, _, _ in os.walk(root / HIDDEN, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
