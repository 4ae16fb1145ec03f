"""What the index says of one shard: in the manifest without, in its record with the rows of its inputs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from avcorr.files import read_file
from avcorr.json_file import accepted_by, load_json, parse_json

from ..errors import ShardFormatError
from ..format.clip import FORMAT_VERSION, KEY_PATTERN
from .layout import SPLIT, ShardName, table_path

MOST_RECORD = 1 << 28
"""Bytes of a record: that of 100,000 inputs, each of which failed with many words."""
Count = Annotated[int, Field(ge=0, le=2**40)]
Text = Annotated[str, Field(max_length=65536)]
Split = Annotated[str, Field(pattern=f"^{SPLIT}$")]


class _Row(BaseModel, strict=True, allow_inf_nan=False):
    """What a row of the ledger has, as far as it is told, and more that later revisions know."""

    key: str = Field(pattern=f"^{KEY_PATTERN.pattern}$")
    source: Text
    split: Split
    status: Literal["packed", "failed", "skipped"]
    code: str = Field(pattern=r"^[a-z_]{0,40}$")
    message: Text = ""
    exit_code: int = Field(0, ge=-(2**31), lt=2**32)
    stderr: Text = ""
    seconds: float = Field(0, ge=0, le=2**40)
    attempts: int = Field(1, ge=0, le=2**31)
    bytes: int = Field(0, ge=0, le=2**50)
    digest: str = Field("", pattern=r"^([0-9a-f]{32})?$")


Row = Annotated[Mapping[str, Any], AfterValidator(accepted_by(_Row))]
"""A row of the ledger: what became of one input."""


def _check_path(path: str) -> str:
    ShardName.parse(path)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """What the index says of a complete shard, without its clips and its ledger."""

    path: Annotated[str, AfterValidator(_check_path)]
    split: Split
    size: Annotated[int, Field(ge=0, le=2**50)]
    """Bytes of the tar."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Of the tar, for loaders that know no better."""
    clips: Count
    frames: Count
    seconds: Annotated[float, Field(ge=0, le=2**40, allow_inf_nan=False)]
    """Length of all its sounds."""
    table_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    """Of the file of the shard's table; "" where no clip was packed."""
    clips_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    """Of the content of the table, which does not depend on who wrote it; "" where no clip was packed."""

    @property
    def stem(self) -> str:
        """`<split>-<six digits>`."""
        return ShardName.parse(self.path).stem

    @property
    def table(self) -> str:
        """Path of the shard's table under the root."""
        return table_path(self.stem)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord(ShardEntry):
    """What the index says of a complete shard, and the ledger's rows of the inputs that were meant for it."""

    ledger: tuple[Row, ...]

    @property
    def entry(self) -> ShardEntry:
        """What the manifest says of the shard."""
        return ShardEntry(**{field.name: getattr(self, field.name) for field in fields(ShardEntry)})

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return {"format": FORMAT_VERSION, **asdict(self)}


def check_entry(entry: ShardEntry) -> ShardEntry:
    """Return what the index says of a shard. Raises ValueError where it contradicts itself."""
    if ShardName.parse(entry.path).split != entry.split:
        raise ValueError(f"path: {entry.path} does not lie in the split {entry.split!r}")
    if entry.frames < entry.clips:
        raise ValueError(f"frames: {entry.frames} of {entry.clips} clips")
    for name in ("table_sha256", "clips_digest"):
        if bool(getattr(entry, name)) != bool(entry.clips):
            raise ValueError(f"{name}: {getattr(entry, name)!r} of {entry.clips} clips")
    return entry


def read_record(path: Path) -> ShardRecord:
    """Read one shard's record. Raises ShardFormatError when it is damaged."""
    return parse_record(read_file(path, MOST_RECORD), str(path))


def parse_record(data: bytes, path: str) -> ShardRecord:
    """Return the record that a file holds. Raises ShardFormatError, naming file and field, when it is damaged."""
    try:
        record = parse_json(data, _schema())
        check_entry(record)
        if record.stem != PurePath(path).name.partition(".")[0]:
            raise ValueError(f"path: {record.path} is another shard")
        packed = sum(row["status"] == "packed" for row in record.ledger)
        if packed != record.clips:
            raise ValueError(f"clips: {record.clips}, but its ledger rows say {packed} packed")
        return record
    except ValueError as error:
        text = f"the index record {path} is damaged ({error}); make it again with: avcorr repair"
        raise ShardFormatError(text) from error


def recorded_sha256(data: bytes, stem: str) -> str:
    """Return which checksum of its tar a record names, whatever else in it is damaged; "" where it names none."""
    try:
        values = load_json(data)
        name, found = ShardName.parse(values["path"]), str(values["sha256"])
        return found if name.stem == stem else ""
    except (ValueError, TypeError, KeyError):
        return ""


@cache
def _schema() -> TypeAdapter[ShardRecord]:
    return TypeAdapter(ShardRecord)
