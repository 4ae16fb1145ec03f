"""Put a PairDataset behind worker processes."""

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from shards.errors import ShardError

from .batches import PairBatch
from .errors import PipelineError
from .sampler import PairDataset


def load_pairs(dataset: PairDataset) -> Iterator[PairBatch]:
    """Yield the dataset's batches, decoded by `pairs.workers` processes; each batch is made whole in one of them.

    Raises:
        PipelineError, ShardError: as the dataset does, with its own message and not the worker's traceback.
    """
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=dataset.settings.workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if dataset.settings.workers else None,
    )
    try:
        yield from loader
    except (PipelineError, ShardError) as error:
        message = str(error)
        if message.startswith("Caught "):  # a worker's: its traceback, then "module.Class: message"
            message = message.strip().rpartition("\n")[2].partition(": ")[2]
        raise type(error)(message) from error
