"""The end of a packing: what describes the dataset as a whole, the manifest last."""

import logging
from pathlib import Path

from ..index.layout import INDEX, remove_empty_work
from ..index.shard_list import iter_entries, write_manifest
from . import dali, energon
from .dataset_card import CARD, write_card
from .wids import write_wids

logger = logging.getLogger(__name__)


def finish_dataset(root: Path) -> None:
    """Write the index of wids, the card and the manifest; renew what an earlier packing wrote for energon and DALI.

    Raises:
        ShardFormatError: when a record or a shard's table is damaged.
    """
    entries = tuple(iter_entries(root))
    write_wids(root, entries)
    if entries and not write_card(root, entries):
        logger.warning("%s is not ours and stays as it is", root / CARD)
    write_manifest(root, entries)
    if (root / energon.FOLDER).is_dir() or any((root / f"{entry.path}.idx").exists() for entry in entries):
        energon.write_energon(root)
    if (root / INDEX / dali.FOLDER).is_dir():
        dali.write_dali(root)
    remove_empty_work(root)
