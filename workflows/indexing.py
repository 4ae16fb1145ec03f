"""A dataset whose index was lost."""

from pathlib import Path

from avcorr.files import local_path
from avcorr.limits import workers_for
from avcorr.lock import locked
from avcorr.pipeline.packing.rebuild import rebuild_index
from avcorr.shards.dataset import Dataset


def index(root: str | Path, *, workers: int | None = None) -> Dataset:
    """Make a lost index again from the shards, all of which are read: all but the ledger, which tells what failed.

    Returns the dataset. Raises Error when the index is there, or a shard is damaged.

    Example:
        >>> len(avcorr.index("data/lost").shards)
        3
    """
    root = local_path(root)
    with locked(root, "indexed", "index a copy"):
        rebuild_index(root, workers_for(workers))
    return Dataset(root)
