"""AVE-Net (Arandjelovic and Zisserman, Objects that Sound, 2018): two VGG-like subnets to a space of unit vectors."""

from torch import nn

from ..settings import ModelSettings
from .distance import TwoWayHead
from .network import DistanceModel
from .vgg import GlobalMaxPool, VggSubnet


def embedding_tower(input_channels: int, width: int, outputs: int) -> nn.Sequential:
    """Return a subnet with pool4, fc1, ReLU and fc2: (B, C, H, W) to (B, outputs), not normalised."""
    subnet = VggSubnet(input_channels, width, first_stride=2)
    return nn.Sequential(
        subnet, GlobalMaxPool(), nn.Linear(subnet.channels, outputs), nn.ReLU(), nn.Linear(outputs, outputs)
    )


class AveNet(DistanceModel):
    """Embeddings of length 1, their Euclidean distance, and a linear layer on it (figure 2c of the paper)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.image_tower = embedding_tower(3, settings.width, settings.embedding_size)
        self.audio_tower = embedding_tower(1, settings.width, settings.embedding_size)
        self.head = TwoWayHead()
