"""AVOL-Net (Objects that Sound, 2018, section 4): AVE-Net that says where in the frame the sound is."""

import torch
from torch import Tensor, nn

from ..settings import ModelSettings
from .avenet import embedding_tower
from .distance import unit, without_autocast
from .network import CorrespondenceModel
from .vgg import VggSubnet


class LocationHead(nn.Module):
    """conv7, a 1 x 1 convolution of one channel, from the scalar product at each position to a logit.

    It begins with a positive weight, for the reason for which AVE-Net's fc3 does: alike means "corresponds".
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        # Products of unnormalised vectors grow with their length; this keeps the first logits near 0.
        self.weight = nn.Parameter(torch.tensor(features**-0.5))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, products: Tensor) -> Tensor:
        """Return float32 logits of the products' shape."""
        return self.weight * products.float() + self.bias


class AvolNet(CorrespondenceModel):
    """The frame keeps a map of vectors, the sound is one vector; the best position decides (figure 6 of the paper).

    The image subnet has no pool4; conv5 and conv6 (1 x 1) stand for fc1 and fc2. Nothing is scaled to unit length. A
    logit for each position, sigmoid on it and the largest of the frame is the v2 text's form; v1 has another softmax.
    The loss is the logistic one of that largest logit.
    """

    localises = True

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        subnet, size = VggSubnet(3, settings.width, first_stride=2), settings.embedding_size
        self.image_tower = nn.Sequential(
            subnet, nn.Conv2d(subnet.channels, size, 1), nn.ReLU(), nn.Conv2d(size, size, 1)
        )
        self.audio_tower = embedding_tower(1, settings.width, size)
        self.head = LocationHead(size)

    def logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B,) of "image b and audio b correspond" for maps (B, D, H', W') and vectors (B, D)."""
        return self.location_logits(image, audio).amax(dim=(1, 2))

    def location_logits(self, image: Tensor, audio: Tensor) -> Tensor:
        """Return the logits (B, H', W') of "the sound of b comes from here"; 14 x 14 for frames of 224 pixels."""
        with without_autocast(image.device):
            logits: Tensor = self.head(torch.einsum("bdhw,bd->bhw", image.float(), audio.float()))
        return logits

    def to_embeddings(self, features: Tensor) -> Tensor:
        """Return unit vectors (B, D) for sounds (B, D), and for maps (B, D, H', W') the direction of their mean.

        The mean over positions is for retrieval alone, of which the paper reports none for this network.
        """
        return unit(features.mean(dim=(2, 3)) if features.ndim == 4 else features)
