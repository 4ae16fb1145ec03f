"""The index of wids (`wids-shard-index-v1`), one a split: random access to samples through PyTorch's Dataset."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..index.layout import INDEX, is_json_of, write_json
from ..index.record import ShardEntry

_NAME = re.compile(rf"{re.escape(INDEX)}/wids-[^/]*\.json")
Check = Callable[[bytes], str]
"""Says what is wrong with a file's bytes; "" where all is well."""


def write_wids(root: Path, entries: Sequence[ShardEntry]) -> None:
    """Write `__index__/wids-<split>.json`; `url` is relative to the file, as wids resolves it."""
    indexes = _indexes(entries)
    for path, index in indexes.items():
        write_json(root / path, index)
    for written in (root / INDEX).glob("wids-*.json"):
        if written.relative_to(root).as_posix() not in indexes:
            written.unlink()


def wids_checks(names: Iterable[str], entries: Sequence[ShardEntry]) -> dict[str, Check]:
    """Return how to check each index, by its path; `names` are the dataset's files as far as they can be listed."""
    checks: dict[str, Check] = {
        path: lambda _: "is of a split that has no shards" for path in names if _NAME.fullmatch(path)
    }
    for path, index in _indexes(entries).items():
        checks[path] = partial(_check, index)
    return checks


def _check(index: Any, data: bytes) -> str:
    return "" if is_json_of(data, index) else "is not what the shards' records say"


def _indexes(entries: Sequence[ShardEntry]) -> dict[str, Any]:
    """Return the content of the index of each split by its path."""
    indexes: dict[str, Any] = {}
    for split in sorted({entry.split for entry in entries}):
        shards = [entry for entry in entries if entry.split == split]
        indexes[f"{INDEX}/wids-{split}.json"] = {
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "name": PurePosixPath(shards[0].path).name.rpartition("-")[0],
            "shardlist": [_describe(entry) for entry in shards],
        }
    return indexes


def _describe(entry: ShardEntry) -> dict[str, Any]:
    return {
        "url": f"../{entry.path}",
        "nsamples": entry.clips,
        "filesize": entry.size,
        "md5sum": entry.md5,
        "sha256": entry.sha256,
    }
