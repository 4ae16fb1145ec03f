"""The paper's model (Feng et al.): two ResNet18 to unit vectors, and a probability that falls with their distance."""

from ..settings import ModelSettings
from .distance import DistanceHead
from .network import DistanceModel
from .resnet18 import ResNet18


class TwoTowers(DistanceModel):
    """Two ResNet18 with a common space of unit vectors."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.image_tower = ResNet18(3, settings.embedding_size, settings.width)
        self.audio_tower = ResNet18(1, settings.embedding_size, settings.width)
        self.head = DistanceHead()
