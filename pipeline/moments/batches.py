"""The tensors that leave the pipeline. Frames travel as uint8 and sound as int16: a quarter and a half of floats."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

_NUMPY = {torch.uint8: np.uint8, torch.int16: np.int16}


class PairBatch(NamedTuple):
    """Frames with a window of sound each, for training."""

    frames: Tensor
    """uint8 (B, S, S, 3), RGB."""
    audio: Tensor
    """int16 (B, N), mono PCM."""
    matches: Tensor
    """bool (B,): whether the sound is the frame's own, centred on it."""
    videos: Tensor
    """int64 (B,): identity of the frame's source video; equal for clips of one video."""
    kinds: Tensor
    """int8 (B,): 0 the frame's own sound, 1 a sound of another video, 2 of the same clip at another time."""


class ViewBatch(NamedTuple):
    """Frames with their own windows of sound, for evaluation."""

    frames: Tensor
    """uint8 (B, S, S, 3), RGB, centre crop."""
    audio: Tensor
    """int16 (B, N), mono PCM."""
    clips: Tensor
    """int64 (B,): position in the list of clips evaluated."""
    times: Tensor
    """float64 (B,): presentation time of the frame in its clip, seconds."""


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """Return a tensor that is not filled yet: in a worker process in memory that the trainer sees, too.

    What a worker makes elsewhere is copied there on its way, page by page, as it is by `default_collate` without this.
    """
    if get_worker_info() is None:
        # numpy asks the kernel for huge pages, torch does not: to touch small ones first costs a third of a pair.
        return torch.from_numpy(np.empty(shape, _NUMPY[dtype]))
    # As default_collate does it.
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage, 0, shape)  # type: ignore[no-any-return, call-overload]
