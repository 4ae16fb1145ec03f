"""The correspondence model: two towers, unit embeddings, and a probability that falls with their distance."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .settings import ModelSettings
from .spectrogram import Spectrogram
from .towers import ResNet18

INITIAL_SLOPE = 5.0
# Random directions lie sqrt(2) = 1.41 apart; the first guess is that matching ones lie nearer than this.
INITIAL_THRESHOLD = 1.2
# Under the root, so that the gradient stays finite at distance 0.
DISTANCE_EPSILON = 1.0e-8

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def cosine_to_distance(cosine: Tensor) -> Tensor:
    """Return the Euclidean distance of unit vectors with this cosine, in [1e-4, 2], differentiable everywhere."""
    return (2.0 - 2.0 * cosine).clamp(min=0.0).add(DISTANCE_EPSILON).sqrt()


class DistanceHead(nn.Module):
    """Distance d to logit b - softplus(a) * d of "they correspond".

    sigmoid(-d) alone never exceeds 1/2, so the distance needs a scale and a threshold (AVE-Net, Arandjelovic and
    Zisserman, 2018, section 3: "scales and shifts the distance to calibrate it"). softplus keeps the slope
    positive: near always means "corresponds".
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(math.log(math.expm1(INITIAL_SLOPE))))
        self.bias = nn.Parameter(torch.tensor(INITIAL_SLOPE * INITIAL_THRESHOLD))

    def forward(self, distance: Tensor) -> Tensor:
        """Return float32 logits of the distances' shape."""
        return self.bias - functional.softplus(self.slope) * distance.float()

    def coefficients(self) -> tuple[float, float]:
        """Return (slope, bias) of the line logit = bias - slope * distance; slope > 0."""
        return functional.softplus(self.slope).item(), self.bias.item()


class CorrespondenceModel(nn.Module):
    """Image tower and audio tower with a common space of unit vectors.

    Run the `embed_*` methods under `device.tower_autocast` for bfloat16; embeddings, distances and logits are
    float32 in any case.
    """

    pixel_mean: Tensor
    pixel_deviation: Tensor

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.image_tower = ResNet18(3, settings.embedding_size, settings.width)
        self.audio_tower = ResNet18(1, settings.embedding_size, settings.width)
        self.spectrogram = Spectrogram(settings.spectrogram)
        self.head = DistanceHead()
        self.register_buffer("pixel_mean", 255.0 * torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("pixel_deviation", 255.0 * torch.tensor(IMAGENET_DEVIATION), persistent=False)

    def embed_images(self, frames: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for RGB frames (B, H, W, 3) in 0..255, uint8 or floating point."""
        pixels = (frames - self.pixel_mean).div_(self.pixel_deviation)
        # (B, H, W, C) in memory, seen as (B, C, H, W), is the channels_last format: no copy.
        return _unit(self.image_tower(pixels.permute(0, 3, 1, 2)))

    def embed_audio(self, audio: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for mono audio (B, N), int16 PCM or floating point in [-1, 1]."""
        return self.embed_spectrogram(self.spectrogram(audio))

    def embed_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Return unit vectors (B, D) float32 for normalised spectrograms (B, 1, F, T)."""
        return _unit(self.audio_tower(spectrogram))

    def distance(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the distances (B,) of unit vectors (B, D), pair by pair."""
        return cosine_to_distance((image.float() * audio.float()).sum(dim=-1))

    def logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B,) of "image b and audio b correspond" for unit vectors (B, D)."""
        logits: Tensor = self.head(self.distance(image, audio))
        return logits


def build_model(settings: ModelSettings, seed: int) -> CorrespondenceModel:
    """Return a model on the CPU whose initial weights depend on settings and seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CorrespondenceModel(settings)


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors.float(), dim=-1)
