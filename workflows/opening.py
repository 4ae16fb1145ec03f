"""A dataset where it lies, through a cache or not."""

from pathlib import Path

from avcorr.files import local_path
from avcorr.shards.dataset import Dataset
from avcorr.shards.store import Root, Store
from avcorr.shards.stores.cache import Cache
from avcorr.shards.stores.open import open_store


def open_cached(root: Root, cache: str | Path | None = None, cache_gb: int = 50) -> Store:
    """Return the store of a dataset; what comes from a remote one is kept in the folder `cache`, if one is given."""
    return open_store(root, cache=Cache(local_path(cache), cache_gb * 10**9) if cache else None)


def open_dataset(root: Root, *, cache: str | Path | None = None, cache_gb: int = 50) -> Dataset:
    """Open a dataset of shards: its facts, splits, clips and tables. Only the index is read.

    Args:
        root: a folder, s3://, gs://, az:// or https:// address, or an opened store.
        cache: folder to keep what comes from a remote root; its `store` may be given wherever a root is.
        cache_gb: size of the cache at most, in GB.

    Raises:
        Error: when there is no finished dataset, or its index cannot be read.

    Example:
        >>> dataset = avcorr.open("data/shards")
        >>> sorted(dataset.splits)
        ['test', 'train']
        >>> clips = dataset.clips(splits=["train"])
        >>> len(clips), clips[0].label
        (8, '')
    """
    return Dataset(open_cached(root, cache, cache_gb))
