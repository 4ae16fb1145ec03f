"""What a training leaves in its folder for what comes after it."""

import json
from pathlib import Path

from .errors import WorkflowError


def saved_config(run: Path) -> Path:
    """Return the path of a run's configuration. Raises WorkflowError where there is none."""
    path = run / "config.yaml"
    if not path.exists():
        raise WorkflowError(f"{run} is no run folder (no config.yaml); make one with: avcorr train --run {run}")
    return path


def trained_videos(run: Path) -> set[str]:
    """Return the source videos that a run was trained on. Raises WorkflowError where the list cannot be read."""
    path = run / "videos.json"
    try:
        return set(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise WorkflowError(f"{path} cannot be read, so clips that were trained on cannot be told: {error}") from error
