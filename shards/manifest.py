"""The manifest `.avcorr/index.json`: every shard with its size, counts and checksums, and nothing of its clips.

It is written last of all, so its presence means that the dataset is whole, and it is removed before any shard changes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .clip import FORMAT_VERSION
from .errors import DatasetMismatchError, ShardFormatError
from .index import HIDDEN, read_record, write_json

MANIFEST = "index.json"


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard in `.avcorr/index.json`: what loaders need, without its clips and its ledger."""

    path: str
    split: str
    clips: int
    frames: int
    seconds: float
    """Length of all its sounds."""
    bytes: int
    sha256: str
    md5: str
    columns: str
    """Path of its columns under the root."""
    columns_sha256: str


def iter_entries(root: Path) -> Iterator[ShardEntry]:
    """Yield an entry for every shard that holds clips, by split and number, one record in memory at a time."""
    for path in sorted((root / HIDDEN / "shards").glob("*.json")):
        record = read_record(path)
        if record.clips:
            columns = path.with_suffix(".npz").relative_to(root).as_posix()
            frames = sum(clip.frame_count for clip in record.clips)
            seconds = round(sum(clip.duration for clip in record.clips), 3)
            yield ShardEntry(
                record.path, record.split, len(record.clips), frames, seconds, record.size, record.sha256,
                record.md5, columns, record.columns_sha256,
            )  # fmt: skip


def write_manifest(root: Path, entries: Iterable[ShardEntry]) -> None:
    """Write `.avcorr/index.json`; to be done last: its presence means that the whole dataset is there."""
    write_json(root / HIDDEN / MANIFEST, {"format": FORMAT_VERSION, "shards": [asdict(entry) for entry in entries]})


def read_manifest(root: Path) -> tuple[ShardEntry, ...]:
    """Read `.avcorr/index.json`.

    Raises:
        DatasetMismatchError: when there is none, because the sharding did not reach its end.
        ShardFormatError: when it is damaged.
    """
    path = root / HIDDEN / MANIFEST
    try:
        values = json.loads(path.read_bytes())
        return tuple(ShardEntry(**entry) for entry in values["shards"])
    except FileNotFoundError as error:
        raise DatasetMismatchError(
            f"{root} has no {HIDDEN}/{MANIFEST}: its sharding did not reach the end; run the same run.py shard again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ShardFormatError(f"the index {path} is damaged ({error}); write it again with: run.py repair") from error
