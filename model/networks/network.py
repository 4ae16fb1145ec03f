"""Base of all networks: frames and sounds in, features, unit embeddings and logits out."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..settings import ModelSettings
from .distance import DistanceHead, TwoWayHead, unit, unit_distance
from .spectrogram import Spectrogram

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class CorrespondenceModel(nn.Module, ABC):
    """An image tower, an audio tower, and a head that compares their features.

    Features are what the head compares. Where the towers share a space of unit vectors (`has_shared_space`) features
    and embeddings are the same thing, and any image can be set against any sound by their distance.

    Run the towers under `device.tower_autocast` for bfloat16; features, distances and logits are float32 in any case.
    """

    localises: ClassVar[bool] = False
    """Whether the network says where in the frame the sound is."""
    image_tower: nn.Module
    audio_tower: nn.Module
    head: nn.Module
    pixel_mean: Tensor
    pixel_deviation: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.spectrogram = Spectrogram(settings.spectrogram)
        self.register_buffer("pixel_mean", 255.0 * torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("pixel_deviation", 255.0 * torch.tensor(IMAGENET_DEVIATION), persistent=False)

    @property
    def has_shared_space(self) -> bool:
        """Whether images and sounds become unit vectors of one space."""
        return self.settings.network.has_shared_space

    @abstractmethod
    def logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B,) float32 of "image b and audio b correspond" for B features of each."""

    def location_logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B, H', W') of "the sound of b comes from here"; ModelError if it does not localise."""
        raise ModelError("this model does not say where a sound is; train one with model.localise: true")

    def distance_coefficients(self) -> tuple[float, float] | None:
        """Return (slope, bias) of logit = bias - slope * distance, or None where the logit is no such function."""
        return None

    def image_features(self, frames: Tensor) -> Tensor:
        """Return the features of RGB frames (B, H, W, 3) in 0..255, uint8 or floating point."""
        pixels = (frames - self.pixel_mean).div_(self.pixel_deviation)
        # (B, H, W, C) in memory, seen as (B, C, H, W), is the channels_last format: no copy.
        return self._finish(self.image_tower(pixels.permute(0, 3, 1, 2)))

    def audio_features(self, audio: Tensor) -> Tensor:
        """Return the features of mono audio (B, N), int16 PCM or floating point in [-1, 1]."""
        return self.spectrogram_features(self.spectrogram(audio))

    def spectrogram_features(self, spectrogram: Tensor) -> Tensor:
        """Return the features of normalised spectrograms (B, 1, F, T)."""
        return self._finish(self.audio_tower(spectrogram))

    def embed_images(self, frames: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for RGB frames (B, H, W, 3) in 0..255, uint8 or floating point."""
        return self.to_embeddings(self.image_features(frames))

    def embed_audio(self, audio: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for mono audio (B, N), int16 PCM or floating point in [-1, 1]."""
        return self.to_embeddings(self.audio_features(audio))

    def to_embeddings(self, features: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for features of either tower."""
        return unit(features)

    def _finish(self, outputs: Tensor) -> Tensor:
        """Turn a tower's outputs into features."""
        return outputs.float()


class DistanceModel(CorrespondenceModel):
    """A model whose features are unit vectors of one space, compared by their distance."""

    head: DistanceHead | TwoWayHead

    def logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B,) of "image b and audio b correspond" for unit vectors (B, D)."""
        logits: Tensor = self.head(unit_distance(image, audio))
        return logits

    def distance_coefficients(self) -> tuple[float, float]:
        """Return (slope, bias) of logit = bias - slope * distance."""
        return self.head.coefficients()

    def to_embeddings(self, features: Tensor) -> Tensor:
        """Return the features, which are unit vectors already."""
        return features

    def _finish(self, outputs: Tensor) -> Tensor:
        return unit(outputs)
