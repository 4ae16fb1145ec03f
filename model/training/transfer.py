"""Batches on their way to the device, beside the computation."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Batch(Protocol):
    """What a step reads of a batch: B pairs of a frame and a sound, this process's part of the step's pairs.

    RGB frames uint8 (B, H, W, 3); mono PCM int16 (B, N); matches bool (B,), whether the sound is the frame's own;
    identities of the frames' source videos int64 (B,).
    """

    @property
    def frames(self) -> Tensor: ...
    @property
    def audio(self) -> Tensor: ...
    @property
    def matches(self) -> Tensor: ...
    @property
    def videos(self) -> Tensor: ...


class Moved(NamedTuple):
    """A batch on the device."""

    frames: Tensor
    audio: Tensor
    matches: Tensor
    videos: Tensor


class Transfer:
    """Copies batches to a device.

    On a GPU they are copied on a stream of their own, so that the 46 MB of 256 pairs travel while the steps before are
    still computed; the host waits for nothing if they lie in pinned memory.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Moved:
        """Return the batch on the device, ready for what is computed next there."""
        columns = (batch.frames, batch.audio, batch.matches, batch.videos)
        if self._stream is None:
            return Moved(*(column.to(self.device) for column in columns))
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            moved = Moved(*(column.to(self.device, non_blocking=True) for column in columns))
        computing.wait_stream(self._stream)
        for column in moved:
            column.record_stream(computing)  # its memory is not given to the next batch before it has been used
        return moved
