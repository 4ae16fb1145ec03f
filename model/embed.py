"""Embed the views of held-out clips; nothing is measured here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .device import tower_autocast
from .errors import EvaluationError


class Views(Protocol):
    """A batch of views: frames uint8 (B, H, W, 3), audio int16 (B, N), clips int64 (B,), times float64 (B,) seconds."""

    @property
    def frames(self) -> Tensor: ...
    @property
    def audio(self) -> Tensor: ...
    @property
    def clips(self) -> Tensor: ...
    @property
    def times(self) -> Tensor: ...


class Towers(Protocol):
    """What is asked of a model: `embed_images` and `embed_audio` give (B, D) unit vectors."""

    training: bool

    def embed_images(self, frames: Tensor) -> Tensor: ...
    def embed_audio(self, audio: Tensor) -> Tensor: ...
    def train(self, mode: bool = True) -> object: ...


@dataclass(frozen=True, eq=False)
class Embeddings:
    """M views as arrays: row i of every field belongs to the same moment of the same clip."""

    image: np.ndarray
    """float32 (M, D), unit length."""
    audio: np.ndarray
    """float32 (M, D), unit length, of the sound around the frame of the same row."""
    clips: np.ndarray
    """int64 (M,), index into the list of clip records."""
    times: np.ndarray
    """float64 (M,), seconds from the start of the clip."""

    def __len__(self) -> int:
        return len(self.clips)

    def rows(self, index: np.ndarray) -> "Embeddings":
        """Take the rows of an integer or boolean index."""
        return Embeddings(self.image[index], self.audio[index], self.clips[index], self.times[index])

    def middle_views(self) -> "Embeddings":
        """Keep one view per clip, the middle one in time (the earlier of two), in order of the clip index."""
        order = np.lexsort((self.times, self.clips))
        _, starts, counts = np.unique(self.clips[order], return_index=True, return_counts=True)
        return self.rows(order[starts + (counts - 1) // 2])


def embed(
    model: Towers, views: Iterable[Views], device: torch.device, precision: torch.dtype = torch.float32
) -> Embeddings:
    """Run both towers over every view, in evaluation mode and without gradients.

    The model keeps its mode and is expected on `device` already. Batch normalisation uses its running statistics and
    every view has the same size, so the batch size changes nothing but the rounding of floats.
    Raises EvaluationError when there is no view, or when a tower returns NaN or infinity.
    """
    columns: list[tuple[np.ndarray, ...]] = []
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode(), tower_autocast(device, precision):
            for batch in views:
                image = model.embed_images(batch.frames.to(device, non_blocking=True))
                audio = model.embed_audio(batch.audio.to(device, non_blocking=True))
                columns.append((_array(image), _array(audio), batch.clips.cpu().numpy(), batch.times.cpu().numpy()))
    finally:
        model.train(was_training)
    if not columns:
        raise EvaluationError("no view to embed: the evaluation split is empty, or every clip is too short for one")
    images, sounds, clips, times = (np.concatenate(column) for column in zip(*columns, strict=True))
    for name, vectors in (("image", images), ("audio", sounds)):
        bad = np.count_nonzero(~np.isfinite(vectors).all(axis=1))
        if bad:
            raise EvaluationError(
                f"{bad} of {len(vectors)} {name} embeddings hold NaN or infinity; "
                "evaluate an earlier checkpoint, or set precision to fp32"
            )
    return Embeddings(images, sounds, clips.astype(np.int64), times.astype(np.float64))


def _array(vectors: Tensor) -> np.ndarray:
    return vectors.float().cpu().numpy()
