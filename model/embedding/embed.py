"""Embed the views of held-out clips; nothing is measured here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..device import tower_autocast
from ..errors import EvaluationError
from ..networks.network import CorrespondenceModel


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
    def _replace(self, *, frames: Tensor, audio: Tensor) -> "Views": ...


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
    features: tuple[np.ndarray, np.ndarray] | None = None
    """float16 (M, ...) each: what the head compares of image and audio, where that is not the two columns above."""

    @property
    def head_inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of image and audio that the head compares."""
        return self.features or (self.image, self.audio)

    def __len__(self) -> int:
        return len(self.clips)

    def rows(self, index: np.ndarray) -> "Embeddings":
        """Take the rows of an integer or boolean index."""
        features = self.features and (self.features[0][index], self.features[1][index])
        return Embeddings(self.image[index], self.audio[index], self.clips[index], self.times[index], features)


AT_ONCE = 32
"""Views that the towers see together, whatever comes in a batch: a kernel's rounding depends on how many there are."""


def embed(
    model: CorrespondenceModel,
    views: Iterable[Views],
    device: torch.device,
    precision: torch.dtype = torch.float32,
    *,
    head_inputs: bool = True,
) -> Embeddings:
    """Run both towers over every view, in evaluation mode and without gradients.

    The model keeps its mode and is expected on `device` already. Batch normalisation uses its running statistics, and
    the towers always see `AT_ONCE` views, so the size of the batches does not change a digit. head_inputs: whether to
    keep what the head compares, where that is not the embeddings.

    Raises EvaluationError when there is no view, or when a tower returns NaN or infinity.
    """
    columns: list[list[np.ndarray]] = []
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode(), tower_autocast(device, precision):
            for frames, audio, clips, times in _regroup(views):
                image = model.image_features(_filled(frames).to(device, non_blocking=True))[: len(clips)]
                sound = model.audio_features(_filled(audio).to(device, non_blocking=True))[: len(clips)]
                found = [clips, times, model.to_embeddings(image).float(), model.to_embeddings(sound).float()]
                if head_inputs and not model.has_shared_space:
                    # A map of AVOL-Net has 25,088 numbers, so that half of the memory matters.
                    found += [image.half(), sound.half()]
                columns.append([column.cpu().numpy() for column in found])
    finally:
        model.train(was_training)
    if not columns:
        raise EvaluationError("no view to embed: the evaluation split is empty, or every clip is too short for one")
    numbers, seconds, images, sounds, *features = (np.concatenate(column) for column in zip(*columns, strict=True))
    for name, vectors in (("image", images), ("audio", sounds)):
        bad = np.count_nonzero(~np.isfinite(vectors).all(axis=1))
        if bad:
            raise EvaluationError(
                f"{bad} of {len(vectors)} {name} embeddings hold NaN or infinity; "
                "evaluate an earlier checkpoint, or set precision to fp32"
            )
    kept = (features[0], features[1]) if features else None
    return Embeddings(images, sounds, numbers.astype(np.int64), seconds.astype(np.float64), kept)


def _regroup(views: Iterable[Views]) -> Iterator[list[Tensor]]:
    """Yield frames, audio, clips and times of `AT_ONCE` views at a time, fewer at the end only."""
    waiting: list[Tensor] = []
    for batch in views:
        columns = [batch.frames, batch.audio, batch.clips, batch.times]
        waiting = [torch.cat(pair) for pair in zip(waiting, columns, strict=True)] if waiting else columns
        while len(waiting[2]) >= AT_ONCE:
            yield [column[:AT_ONCE] for column in waiting]
            waiting = [column[AT_ONCE:] for column in waiting]
    if waiting and len(waiting[2]):
        yield waiting


def _filled(column: Tensor) -> Tensor:
    """Repeat the last row until there are `AT_ONCE`."""
    return torch.cat([column, column[-1:].expand(AT_ONCE - len(column), *column.shape[1:])])
