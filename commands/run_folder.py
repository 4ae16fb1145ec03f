"""What a training leaves in its folder for the commands after it."""

import json
from pathlib import Path

from .errors import CommandError


def saved_config(run: Path) -> Path:
    path = run / "config.yaml"
    if not path.exists():
        raise CommandError(f"{run} is no run folder (no config.yaml); make one with: avcorr train --run {run}")
    return path


def trained_videos(run: Path) -> set[str]:
    path = run / "videos.json"
    try:
        return set(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read, so clips that were trained on cannot be told: {error}") from error
