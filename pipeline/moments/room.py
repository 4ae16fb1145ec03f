"""What workers need of the system, reckoned before they start: shared memory for batches, and open files."""

import os
import sys
from pathlib import Path
from typing import Any

from ..errors import PairError
from .sampler import MomentDataset

SHARED = Path("/dev/shm")
"""Where Linux keeps shared memory."""
_PAGE = 4096
_FILES = 64
"""Open files of the program itself."""


def prefetch(workers: int) -> int:
    """Return how many parts each worker makes ahead: a lone one more, so that one slow batch is not waited for."""
    return 4 if workers == 1 else 2


def require_room(dataset: MomentDataset[Any], workers: int) -> None:
    """Raise PairError where /dev/shm has less free than the batches that are made ahead need."""
    if not workers or sys.platform != "linux":
        return
    if not os.access(SHARED, os.W_OK):
        raise PairError(
            f"pairs.workers = {workers} need {SHARED}, which is not there or read-only; set pairs.workers=0"
        )
    found = os.statvfs(SHARED)
    if not found.f_blocks:  # without a limit
        return
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if dataset.ranks > 1 else 1
    free, batch = found.f_bavail * found.f_frsize // sharing, _batch_bytes(dataset)

    def needed(count: int) -> int:
        parts = dataset.parts(count)
        # Those under way, the one that a trainer has and the one that it takes.
        return (prefetch(count) * count + 2 * parts) * (batch // parts + 8 * _PAGE) if count else 0

    if needed(workers) > free:
        fits = max(count for count in range(workers) if needed(count) <= free)
        raise PairError(
            f"{SHARED} has {free / 1e6:,.1f} MB free{' for each process' if sharing > 1 else ''}, and pairs.workers = "
            f"{workers} need {needed(workers) / 1e6:,.1f} MB for the batches that they make ahead: set pairs.workers="
            f"{fits}, lower train.batch_size, or give a container more (docker run --shm-size "
            f"{sharing * needed(workers) * 5 // 4 // 1_000_000 + 1}m)"
        )


def files_needed(dataset: MomentDataset[Any], workers: int) -> int:
    """Return how many files are open at most while workers hand over batches, each tensor of which is one."""
    return _FILES + 8 * workers + 16 * (prefetch(workers) * workers + dataset.parts(workers))


def _batch_bytes(dataset: MomentDataset[Any]) -> int:
    """Return the size of this rank's part of a batch, by what the task asks for of its first chunk."""
    request = dataset.draw(dataset.order.samples(dataset.start, dataset.shares[0].chunk))
    side, items = dataset.settings.frame_size, len(request.frame_counts)
    if dataset.settings.decode == "device":
        places = dataset.catalogue.pictures(request.frame_clips, request.frames)
        pictures = sum(place.stop - place.start for place in places)
    else:
        pictures = len(request.frames) * side * side * 3
    sounds = 2 * len(request.starts) * dataset.task.width(dataset.catalogue)
    return (pictures + sounds) * sum(share.stop - share.start for share in dataset.shares) // items
