"""What a training leaves in its folder for what comes after it."""

import json
import logging
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from avcorr import __version__
from avcorr.errors import Error
from avcorr.files import read_file, write_atomically
from avcorr.json_file import read_json
from avcorr.model.saving.checkpoint import list_checkpoints

from .requirements import version_of

_VIDEOS = TypeAdapter(list[str])
_MOST_BYTES = 1 << 27
"""Of videos.json, which has 30 MB for AudioSet, and of sessions.jsonl."""
logger = logging.getLogger(__name__)


def saved_config(run: Path) -> Path:
    """Return the path of a run's configuration. Raises Error where there is none."""
    path = run / "config.yaml"
    if not path.exists():
        raise Error(f"{run} is no run folder (no config.yaml); make one with: avcorr train --run {run}")
    return path


def trained_videos(run: Path) -> set[str]:
    """Return the source videos that a run was trained on. Raises Error where the list cannot be read."""
    path = run / "videos.json"
    try:
        videos = read_json(path, _VIDEOS, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise Error(f"{path} cannot be read, so clips that were trained on cannot be told: {error}") from error
    return set(videos)


@contextmanager
def session(run: Path | None, facts: Mapping[str, Any]) -> Iterator[None]:
    """Add a line to RUN/sessions.jsonl that says how a part of a run was made, and when and where it ended.

    Written when the training begins; `ended` and `to_step` stay null where it is killed.

    Args:
        run: its folder; None where another process writes.
        facts: what the line has besides, JSON-able.
    """
    if run is None:
        yield
        return
    path = run / "sessions.jsonl"
    try:
        earlier = read_file(path, _MOST_BYTES) if path.exists() else b""
    except OSError as error:
        earlier = b""
        logger.warning("%s cannot be read (%s) and begins anew", path, error.strerror)
    versions = {"avcorr": __version__, "python": platform.python_version()}
    versions |= {name: version_of(name) for name in ("torch", "torchvision", "numpy")}
    line = {
        "began": _now(), "ended": None, "command": sys.argv, "host": platform.node(), "versions": versions, **facts,
        "to_step": None,
    }  # fmt: skip
    write_atomically(path, earlier + _written(line))
    try:
        yield
    finally:
        checkpoints = list_checkpoints(run)
        step = int(checkpoints[0].stem.removeprefix("step-")) if checkpoints else None
        line |= {"ended": _now(), "to_step": step}
        write_atomically(path, earlier + _written(line))


def _written(line: Mapping[str, Any]) -> bytes:
    """Return a line of JSON, without the user and password that an address may hold."""
    return re.sub(r'(?<=://)[^/@\s"]+@', "", json.dumps(line, default=str)).encode() + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
