"""Checkpoints as a training writes them, and others."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from avcorr.model.settings import ModelSettings, TrainSettings


def run_config(model: ModelSettings, train: TrainSettings | None = None) -> dict[str, Any]:
    """Return what of a run's configuration its checkpoints must say."""
    return {
        "shard": {"short_side": 48},
        "pairs": {"frame_size": 32, "window_seconds": 0.25},
        "model": model.model_dump(mode="json"),
        "train": (train or TrainSettings(steps=9)).model_dump(mode="json"),
    }


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a checkpoint; all its checksums are right again."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def repack(path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]], packing: int) -> None:
    """Write the members of a checkpoint's archive anew, each as what `change` makes of its name and bytes."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in members:
            for member in change(name, data):
                archive.writestr(*member)
