"""Two-tower audio-visual correspondence model: towers, objectives, training, evaluation and report.

from avcorr import model
towers = model.load("runs/a")
towers.embed_images(["frame.jpg"]) @ towers.embed_audio(["sound.wav"]).T
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .embedding.embedder import Embedder

__all__ = ["load"]


def load(source: str | Path, *, best: bool = False, device: str = "auto") -> "Embedder":
    """Load a trained model, which has `embed_images`, `embed_audio` and `probability`.

    Args:
        source: a run folder, whose newest checkpoint is read, or a folder that `avcorr export` wrote.
        best: the best checkpoint instead of the newest.
        device: `auto`, `cpu`, `cuda` or another of torch's names.

    Raises:
        CheckpointError: if there is no model that can be read.
    """
    from .embedding.embedder import load_embedder  # torch takes seconds to import, and settings need none

    return load_embedder(source, best=best, device=device)
