"""The paper's model (Feng et al.): two ResNet18 to unit vectors, and a probability that falls with their distance."""

from torch import Tensor

from ..settings import ModelSettings
from .distance import DistanceHead, unit_distance
from .network import CorrespondenceModel
from .resnet18 import ResNet18


class TwoTowers(CorrespondenceModel):
    """Two ResNet18 with a common space of unit vectors."""

    head: DistanceHead

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.image_tower = ResNet18(3, settings.embedding_size, settings.width)
        self.audio_tower = ResNet18(1, settings.embedding_size, settings.width)
        self.head = DistanceHead()

    def logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B,) of "image b and audio b correspond" for unit vectors (B, D)."""
        logits: Tensor = self.head(unit_distance(image, audio))
        return logits

    def distance_coefficients(self) -> tuple[float, float]:
        """Return (slope, bias) of logit = bias - slope * distance."""
        return self.head.coefficients()
