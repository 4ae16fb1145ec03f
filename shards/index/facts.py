"""Facts of a dataset: `dataset.json`, what it is and how it was made."""

import json
from typing import Any

from ..errors import DatasetMismatchError, MissingObjectError, ShardFormatError
from ..format.clip import FORMAT_VERSION
from ..store import Root
from ..stores.open import open_store
from .layout import DATASET

_MOST = 1 << 20
"""Bytes of a dataset.json."""


def read_dataset(root: Root) -> dict[str, Any] | None:
    """Return `__index__/dataset.json`, or None where there is none."""
    store = open_store(root)
    path = f"{store.url}/{DATASET}"
    try:
        dataset: dict[str, Any] = json.loads(store.read(DATASET, _MOST))
        version = dataset["format"]
    except MissingObjectError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ShardFormatError(f"{path} cannot be read ({error}); make the shards again in another folder") from error
    if version != FORMAT_VERSION:
        raise DatasetMismatchError(f"{path} has format {version}; this program reads format {FORMAT_VERSION}")
    return dataset


def require_dataset(root: Root) -> dict[str, Any]:
    """Return `__index__/dataset.json`. Raises DatasetMismatchError where there is none."""
    store = open_store(root)
    dataset = read_dataset(store)
    if dataset is None:
        raise DatasetMismatchError(f"{store.url} holds no shards (no {DATASET}); make some with: avcorr shard")
    return dataset
