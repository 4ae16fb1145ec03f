"""The hidden folder `.avcorr/` beside the shards: what the dataset is, what each shard holds, what failed.

ROOT/train/clips-train-000000.tar         shards, and nothing else that a loader could trip over
ROOT/.avcorr/dataset.json                 name, settings, fingerprint of the source list
ROOT/.avcorr/shards/train-000000.npz      where every frame and sample lies in the shard (see columns.py)
ROOT/.avcorr/shards/train-000000.json     one record a shard, written after both: its presence means complete
ROOT/.avcorr/ledger.jsonl                 one row an input: packed, failed or skipped, and why
ROOT/.avcorr/index.json                   all shards with sizes and checksums; written last of all
ROOT/.avcorr/work/                        shards in the making, with their journals
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .clip import FORMAT_VERSION
from .errors import DatasetMismatchError, ShardFormatError
from .ledger import write_sorted

HIDDEN = ".avcorr"


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


@dataclass(frozen=True, slots=True)
class IndexedClip:
    """What the index knows of a packed clip."""

    key: str
    video: str
    label: str
    duration: float
    frame_count: int
    offset: int
    """Byte in the shard at which the clip's first tar header begins."""
    flags: tuple[str, ...] = ()
    """What is wrong with the clip: names of shards.clip.FLAGS."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", tuple(self.flags))  # JSON gives a list


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What the index knows of a complete shard, and the ledger rows of the inputs that were meant for it."""

    path: str
    split: str
    size: int
    sha256: str
    clips: tuple[IndexedClip, ...]
    ledger: tuple[Mapping[str, Any], ...]
    md5: str
    """Of the tar, for loaders that know no better."""
    columns_sha256: str
    """Of the shard's columns; "" where no clip was packed."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return {"format": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ShardRecord":
        """Make the record from decoded JSON; raises KeyError or TypeError on a wrong shape."""
        clips = tuple(IndexedClip(**clip) for clip in values["clips"])
        return cls(
            values["path"], values["split"], values["size"], values["sha256"], clips, tuple(values["ledger"]),
            values["md5"], values["columns_sha256"],
        )  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a temporary name in the same folder, fsync, rename."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


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

    Raises:
        DatasetMismatchError: when `root` is no dataset, or one of another format.
        ShardFormatError: when a record cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        dataset = read_dataset(root)
        if dataset is None:
            raise DatasetMismatchError(
                f"{root} holds no shards (no {HIDDEN}/dataset.json); make some with: run.py shard"
            )
        self.dataset = dataset
        self.shards = tuple(iter_records(root))

    def of_split(self, split: str) -> tuple[ShardRecord, ...]:
        """Return the shards of one split in the order of their numbers.

        Raises:
            DatasetMismatchError: when there is none, naming the splits that exist.
        """
        shards = tuple(shard for shard in self.shards if shard.split == split and shard.clips)
        if not shards:
            have = ", ".join(self.splits()) or "none at all"
            raise DatasetMismatchError(f"{self.root} has no clips in the split {split!r}; it has {have}")
        return shards

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that hold clips, sorted."""
        return tuple(sorted({shard.split for shard in self.shards if shard.clips}))

    def videos(self, split: str) -> set[str]:
        """Return the source videos whose clips lie in a split."""
        return {clip.video for shard in self.shards if shard.split == split for clip in shard.clips}

    def ledger(self) -> Iterator[Mapping[str, Any]]:
        """Yield the ledger: one row an input."""
        path = self.root / HIDDEN / "ledger.jsonl"
        if path.exists():
            with path.open(encoding="utf-8") as file:
                yield from (json.loads(line) for line in file)


def read_dataset(root: Path) -> dict[str, Any] | None:
    """Return `.avcorr/dataset.json`, or None where there is none."""
    path = root / HIDDEN / "dataset.json"
    if not path.exists():
        return None
    try:
        dataset: dict[str, Any] = json.loads(path.read_bytes())
        version = dataset["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise ShardFormatError(f"{path} cannot be read ({error}); make the shards again in another folder") from error
    if version != FORMAT_VERSION:
        raise DatasetMismatchError(f"{path} has format {version}; this program reads format {FORMAT_VERSION}")
    return dataset


def record_path(root: Path, name: ShardName) -> Path:
    """Return where the record of a shard lies."""
    return root / HIDDEN / "shards" / f"{name.stem}.json"


def columns_path(root: Path, name: ShardName) -> Path:
    """Return where the columns of a shard lie."""
    return record_path(root, name).with_suffix(".npz")


def iter_records(root: Path) -> Iterator[ShardRecord]:
    """Yield the record of every complete shard, by split and number. Raises ShardFormatError on a damaged record."""
    for path in sorted((root / HIDDEN / "shards").glob("*.json")):
        yield read_record(path)


def read_record(path: Path) -> ShardRecord:
    """Read one shard's record. Raises ShardFormatError when it is damaged."""
    try:
        return ShardRecord.from_json(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise ShardFormatError(f"the index record {path} is damaged ({error})") from error


def write_ledger(root: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the ledger, one JSON object a line, sorted by input."""
    write_sorted(root / HIDDEN / "ledger.jsonl", rows)
