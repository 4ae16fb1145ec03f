"""A trained model for use, which reads every file that a search takes."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avcorr.model import load as load_embedder
from avcorr.model.embedding.embedder import Embedder
from avcorr.pipeline.errors import MediaError
from avcorr.retrieval.query import decode_file


def load(source: str | Path, *, best: bool = False, device: str = "auto") -> Embedder:
    """Load a trained model, which has `embed_images`, `embed_audio` and `probability`.

    Files that neither Pillow nor libsndfile reads, such as HEIC, M4A and videos, are decoded by ffmpeg.

    Args:
        source: a run folder, whose newest checkpoint is read, or a folder that `avcorr export` wrote.
        best: the best checkpoint instead of the newest.
        device: `auto`, `cpu`, `cuda` or another of torch's names.

    Raises:
        CheckpointError: if there is no model that can be read.

    Example:
        >>> import numpy
        >>> model = avcorr.load("runs/a", device="cpu")
        >>> model.embed_images([numpy.zeros((48, 64, 3), numpy.uint8)]).shape[0]
        1
    """
    embedder = load_embedder(source, best=best, device=device)

    def picture(path: Path) -> NDArray[np.uint8]:
        jpegs = decode_file(path, embedder).jpegs
        if not jpegs:
            raise MediaError("no_video", f"{path} is a sound and has no picture")
        return np.asarray(Image.open(io.BytesIO(jpegs[len(jpegs) // 2])).convert("RGB"))

    def sound(path: Path) -> NDArray[np.int16]:
        return np.frombuffer(decode_file(path, embedder).pcm, "<i2").astype(np.int16)

    embedder.other_pictures, embedder.other_sounds = picture, sound
    return embedder
