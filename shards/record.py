"""What the index knows of one shard: its name, its clips, and the rows of the inputs that were meant for it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .clip import FORMAT_VERSION
from .errors import ShardFormatError


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


def read_record(path: Path) -> ShardRecord:
    """Read one shard's record. Raises ShardFormatError when it is damaged."""
    return parse_record(path.read_bytes(), str(path))


def parse_record(data: bytes, path: str) -> ShardRecord:
    """Return the record that a file holds. Raises ShardFormatError, naming the file, when it is damaged."""
    try:
        return ShardRecord.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ShardFormatError(f"the index record {path} is damaged ({error})") from error
