"""What the index says of one shard: in the manifest without, in its record with the rows of its inputs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from avcorr.files import read_file

from ..errors import ShardFormatError
from ..format.clip import FORMAT_VERSION
from .layout import ShardName, table_path

MOST_RECORD = 1 << 28
"""Bytes of a record: that of 100,000 inputs, each of which failed with many words."""
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """What the index says of a complete shard, without its clips and its ledger."""

    path: str
    split: str
    size: Count
    """Bytes of the tar."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    md5: str
    """Of the tar, for loaders that know no better."""
    clips: Count
    frames: Count
    seconds: Annotated[float, Field(ge=0)]
    """Length of all its sounds."""
    table_sha256: str
    """Of the file of the shard's table; "" where no clip was packed."""
    clips_digest: str
    """Of the content of the table, which does not depend on who wrote it; "" where no clip was packed."""

    @property
    def stem(self) -> str:
        """`<split>-<six digits>`. Raises ValueError where `path` is not that of a shard."""
        return ShardName.parse(self.path).stem

    @property
    def table(self) -> str:
        """Path of the shard's table under the root."""
        return table_path(self.stem)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord(ShardEntry):
    """What the index says of a complete shard, and the ledger's rows of the inputs that were meant for it."""

    ledger: tuple[Mapping[str, Any], ...]

    @property
    def entry(self) -> ShardEntry:
        """What the manifest says of the shard."""
        return ShardEntry(**{field.name: getattr(self, field.name) for field in fields(ShardEntry)})

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON types."""
        return {"format": FORMAT_VERSION, **asdict(self)}


def read_record(path: Path) -> ShardRecord:
    """Read one shard's record. Raises ShardFormatError when it is damaged."""
    return parse_record(read_file(path, MOST_RECORD), str(path))


def parse_record(data: bytes, path: str) -> ShardRecord:
    """Return the record that a file holds. Raises ShardFormatError, naming the file, when it is damaged."""
    try:
        record = _schema().validate_json(data, strict=True)
        ShardName.parse(record.path)
        return record
    except ValueError as error:
        raise ShardFormatError(f"the index record {path} is damaged ({first_fault(error)})") from error


@cache
def _schema() -> TypeAdapter[ShardRecord]:
    return TypeAdapter(ShardRecord)


def first_fault(error: ValueError) -> str:
    """Return in one line what is wrong, the first of what pydantic found."""
    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors(include_url=False)[0]
    return ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))
