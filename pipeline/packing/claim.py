"""Claim a folder for a dataset, or refuse it: another dataset's, a foreign one, one that cannot be written to."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.format.clip import FORMAT_VERSION
from avcorr.shards.index.facts import read_dataset
from avcorr.shards.index.layout import DATASET, WORK, write_json

from ..errors import OutputError
from ..settings import ShardSettings
from ..sources.source import SourceList

_SPEED_ONLY = {"ffmpeg", "timeout_seconds"}
"""Settings that change no byte of a shard."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


def check_folder(root: Path) -> None:
    """Check that shards can be written under `root`.

    Raises:
        DatasetMismatchError: when foreign shards are there.
        OutputError: when nothing can be written there.
    """
    try:
        (root / WORK).mkdir(parents=True, exist_ok=True)
        probe = root / WORK / ".writable"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        if error.errno in _FULL:
            raise _full(root) from error
        raise OutputError(f"{root} cannot be written to ({error.strerror}); choose another --out") from error
    if read_dataset(root) is None and next(root.glob("*/*.tar"), None):
        raise DatasetMismatchError(f"{root} holds tar files that are not of this program; choose another --out")


@contextmanager
def writing_to(root: Path) -> Iterator[None]:
    """Tell a full disk in one line that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full(root) from error
        raise


def _full(root: Path) -> OutputError:
    return OutputError(
        f"no space is left on the disk of {os.path.abspath(root)}; what is published stays valid: free some space, "
        "then run the same command again to go on"
    )


def claim(root: Path, sources: SourceList, settings: ShardSettings, version: str) -> None:
    """Write what the dataset is, or check that the folder holds just that.

    Raises:
        DatasetMismatchError: when `root` holds something else.
        OutputError: when it cannot be written to.
    """
    check_folder(root)
    identity = {
        "format": FORMAT_VERSION,
        "settings": settings.model_dump(exclude=_SPEED_ONLY),
        "ffmpeg": version,
        "inputs": len(sources.sources),
        "sources": sources.fingerprint(),
    }
    present = read_dataset(root)
    if present is None:
        write_json(root / DATASET, identity)
    elif present != identity:
        raise DatasetMismatchError(
            f"{root} holds shards of another configuration ({'; '.join(_differences(present, identity))}); "
            "choose another --out, or use the same settings and sources to go on with it"
        )


def _differences(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    old, new = ({**values["settings"], **values} for values in (present, wanted))
    for name in sorted({*old, *new} - {"settings"}):
        if old.get(name) != new.get(name):
            if name == "sources":
                yield "other source files"
            else:
                yield f"{name}: {old.get(name)!r} there, {new.get(name)!r} now"
