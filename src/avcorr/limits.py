"""What this process may use of the machine: CPUs and open files."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FILES_EACH = 16
"""Files and pipes that a worker of sharding has open at most, while its ffmpeg starts."""
_FILES_BESIDE = 64
"""Files that are open besides: libraries, shards, the log."""

logger = logging.getLogger(__name__)


def cpu_count(root: Path = Path("/")) -> int:
    """Return how many CPUs this process may use: by its affinity (taskset, Slurm) and its container's share of time.

    Args:
        root: where /proc and /sys lie.
    """
    known = hasattr(os, "sched_getaffinity")  # not on macOS
    count = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many CPUs' time each control group that this process is in grants, where it has a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = Path(path.strip("/"))  # as the machine names it; a container may see it as the root
        for folder in {base / group, *(base / parent for parent in group.parents)}:
            with suppress(OSError, ValueError):
                if controllers:  # version 1
                    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                    quota, period = ((folder / name).read_text() for name in names)
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if float(quota) > 0:  # "max" is no number, -1 no limit
                    yield float(quota) / float(period)


def workers_for(asked: int | None) -> int:
    """Return how many workers of sharding run at once: those asked for, or one a CPU, as open files allow.

    The limit on open files is raised for them as `allow_files` does.
    """
    workers = asked or cpu_count()
    needed = _FILES_BESIDE + workers * _FILES_EACH
    files = allow_files(needed)
    allowed = max(1, (files - _FILES_BESIDE) // _FILES_EACH)
    if allowed < workers:
        text = "%d workers need %d open files, and %d are allowed (ulimit -n): %d work at once"
        logger.warning(text, workers, needed, files, allowed)
    return min(workers, allowed)


def allow_files(needed: int) -> int:
    """Raise this process's limit of open files to what is needed, as far as the system lets.

    Returns:
        How many it may open, as far as that is of interest: at most `needed` where there is no limit.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return needed
    if soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):  # macOS has a limit below the one that it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return soft
