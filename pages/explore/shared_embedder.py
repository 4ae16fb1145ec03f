"""Scores of pairs by one model, for many threads: it answers one after the other."""

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from avcorr.model.device import tower_autocast
from avcorr.model.embedding.embedder import Embedder


class PairScores(NamedTuple):
    """Scores of one frame with B windows of sound."""

    probabilities: NDArray[np.float32]
    """(B,), in [0, 1], that the two belong together."""
    maps: NDArray[np.float32] | None
    """(B, H', W'), in [0, 1], that the sound comes from each place; None where the model does not localise."""


class SharedEmbedder:
    """An embedder that threads may share.

    Decoding goes on side by side; only what the towers do is done one at a time, which on few cores is no slower.

    Args:
        embedder: the model.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self._lock = embedder, Lock()
        self.config, self.step = embedder.config, embedder.step
        self.frame_size, self.short_side = embedder.frame_size, embedder.short_side
        self.sample_rate, self.samples = embedder.sample_rate, embedder.samples
        self.localises = embedder.model.localises

    @property
    def seconds(self) -> float:
        """Length of the model's window of sound."""
        return float(self.samples / self.sample_rate)

    def embed_images(self, images: Any) -> torch.Tensor:
        """Do as Embedder.embed_images."""
        with self._lock:
            return self._embedder.embed_images(images)

    def embed_audio(self, sounds: Any) -> torch.Tensor:
        """Do as Embedder.embed_audio."""
        with self._lock:
            return self._embedder.embed_audio(sounds)

    @torch.inference_mode()
    def score(self, frame: NDArray[np.uint8], sounds: NDArray[np.int16]) -> PairScores:
        """Return the probabilities that a frame (S, S, 3), RGB, belongs to each of the windows of sound (B, N).

        They are those of Embedder.probability; the frame goes through its tower only once.
        """
        embedder, model = self._embedder, self._embedder.model
        with self._lock:
            with tower_autocast(embedder.device, embedder.precision):
                image = model.image_features(torch.from_numpy(frame[None]).to(embedder.device))
                audio = model.audio_features(torch.from_numpy(sounds).to(embedder.device))
            image = image.expand(len(audio), *image.shape[1:])
            probabilities = model.logits(image, audio).sigmoid().cpu().numpy()
            maps = model.location_logits(image, audio).sigmoid().cpu().numpy() if model.localises else None
        return PairScores(probabilities, maps)
