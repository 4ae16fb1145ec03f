"""L3-Net (Arandjelovic and Zisserman, Look, Listen and Learn, 2017): concatenated features, compared by two layers."""

import torch
from torch import Tensor, nn

from ..settings import ModelSettings
from .distance import without_autocast
from .network import CorrespondenceModel
from .vgg import GlobalMaxPool, VggSubnet


class ConcatenationHead(nn.Module):
    """fc1 with ReLU and fc2 on both features side by side, to two classes, as `distance.TwoWayHead` has them."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(2 * features, hidden)
        self.fc2 = nn.Linear(hidden, 2)  # classes "they do not correspond", "they correspond"
        nn.init.kaiming_normal_(self.fc1.weight, nonlinearity="relu")
        nn.init.zeros_(self.fc1.bias)

    def forward(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return float32 logits (B,) for float32 features (B, C) of each."""
        with without_autocast(image.device):
            both = torch.cat([image.float(), audio.float()], dim=-1)
            classes: Tensor = self.fc2(self.fc1(both).relu())
        return classes[..., 1] - classes[..., 0]


class L3Net(CorrespondenceModel):
    """Two VGG-like subnets to 8 * width numbers each, 512 in the paper; fc1 to `embedding_size` numbers, fc2 to two.

    The subnets share no space: the head sees both features at once, so features of different pairs are not comparable
    by distance. `embed_*` give the features scaled to unit length, which is how AVE-Net's paper measured its retrieval.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.image_tower = nn.Sequential(VggSubnet(3, settings.width, first_stride=1), GlobalMaxPool())
        self.audio_tower = nn.Sequential(VggSubnet(1, settings.width, first_stride=1), GlobalMaxPool())
        self.head = ConcatenationHead(8 * settings.width, settings.embedding_size)

    def logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B,) of "image b and audio b correspond" for features (B, 8 * width)."""
        logits: Tensor = self.head(image, audio)
        return logits
