"""The index of wids (`wids-shard-index-v1`), one a split: random access to samples through PyTorch's Dataset."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..index import HIDDEN, write_json
from ..manifest import ShardEntry


def write_wids(root: Path, entries: Sequence[ShardEntry]) -> None:
    """Write `.avcorr/wids-<split>.json`; `url` is relative to the file, as wids resolves it."""
    for split in sorted({entry.split for entry in entries}):
        shards = [entry for entry in entries if entry.split == split]
        index = {
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "name": PurePosixPath(shards[0].path).name.rpartition("-")[0],
            "shardlist": [_describe(entry) for entry in shards],
        }
        write_json(root / HIDDEN / f"wids-{split}.json", index)


def _describe(entry: ShardEntry) -> dict[str, Any]:
    return {
        "url": f"../{entry.path}",
        "nsamples": entry.clips,
        "filesize": entry.bytes,
        "md5sum": entry.md5,
        "sha256": entry.sha256,
    }
