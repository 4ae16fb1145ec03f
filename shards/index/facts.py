"""Facts of a dataset: `dataset.json`, what it is and how it was made."""

from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter

from avcorr.json_file import accepted_by, parse_json

from ..errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from ..format.clip import FORMAT_VERSION
from ..store import Root
from ..stores.open import open_store
from .layout import DATASET, NAME

_MOST = 1 << 20
"""Bytes of a dataset.json."""
Text = Annotated[str, Field(max_length=4096)]


class _Settings(BaseModel, strict=True, allow_inf_nan=False):
    """Those of the settings that readers look at, as far as they are told."""

    name: str = Field("", pattern=rf"^{NAME}$")
    decoder: Text = ""
    clip_seconds: float = Field(1, gt=0, le=4200)
    frames_per_second: float = Field(1, gt=0, le=1000)
    short_side: int = Field(1, ge=1, le=65500)
    sample_rate: int = Field(1, ge=1, le=655350)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """What `dataset.json` says; a reader needs `format` alone."""

    format: int = FORMAT_VERSION
    settings: Annotated[dict[str, Any], AfterValidator(accepted_by(_Settings))] = field(default_factory=dict)
    """How the clips were made, by the names of the section `shard`."""
    ffmpeg: Text = "unknown"
    """Version of what decoded."""
    inputs: Annotated[int, Field(ge=0, le=2**40)] | None = None
    """How many the source list has; None where it is not told."""
    sources: Text = ""
    """A digest of the list."""


@cache
def _schema() -> TypeAdapter[DatasetFacts]:
    return TypeAdapter(DatasetFacts)


def read_dataset(root: Root) -> DatasetFacts | None:
    """Return what `__index__/dataset.json` says, or None where there is none.

    Raises:
        ShardFormatError: naming the field, where it cannot be read.
        DatasetMismatchError: when it is of another format.
    """
    store = open_store(root)
    path = f"{store.url}/{DATASET}"
    try:
        found = parse_json(store.read(DATASET, _MOST), _schema())
    except MissingObjectError:
        return None
    except ValueError as error:
        raise ShardFormatError(f"{path} cannot be read ({error}); make the shards again in another folder") from error
    if found.format != FORMAT_VERSION:
        raise DatasetMismatchError(f"{path} has format {found.format}; this program reads format {FORMAT_VERSION}")
    return found


def require_dataset(root: Root) -> DatasetFacts:
    """Return what `__index__/dataset.json` says. Raises DatasetMismatchError where there is none."""
    store = open_store(root)
    dataset = read_dataset(store)
    if dataset is None:
        text = f"holds no shards (no {DATASET}); make some with: avcorr shard; a lost index: avcorr index"
        raise DatasetMismatchError(f"{store.url} {text}")
    return dataset
