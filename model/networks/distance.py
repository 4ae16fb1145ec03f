"""Distances of unit vectors, and the probabilities that fall with them."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

INITIAL_SLOPE = 5.0
# Random directions lie sqrt(2) = 1.41 apart; the first guess is that matching ones lie nearer than this.
INITIAL_THRESHOLD = 1.2
# Under the root, so that the gradient stays finite at distance 0.
DISTANCE_EPSILON = 1.0e-8


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which float32 stays float32; meta tensors, which only count operations, need none."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def unit(vectors: Tensor) -> Tensor:
    """Return vectors (..., D) scaled to length 1, float32."""
    return functional.normalize(vectors.float(), dim=-1)


def cosine_to_distance(cosine: Tensor) -> Tensor:
    """Return the Euclidean distance of unit vectors with this cosine, in [1e-4, 2], differentiable everywhere."""
    return (2.0 - 2.0 * cosine).clamp(min=0.0).add(DISTANCE_EPSILON).sqrt()


def unit_distance(image: Tensor, audio: Tensor) -> Tensor:
    """Return the distances (B,) float32 of unit vectors (B, D), pair by pair."""
    return cosine_to_distance((image.float() * audio.float()).sum(dim=-1))


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


class TwoWayHead(nn.Module):
    """AVE-Net's fc3: a linear layer from the distance to two classes, whose softmax is p("they correspond").

    It begins with the right sign, near means "corresponds", as the paper found sufficient (section 3.3): from the wrong
    one the embeddings may become anti-aligned. Softmax over two classes is the sigmoid of their difference, which is
    what `forward` returns; no softmax is taken before the loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc3 = nn.Linear(1, 2)  # classes "they do not correspond", "they correspond"
        with torch.no_grad():
            self.fc3.weight.copy_(torch.tensor([[INITIAL_SLOPE / 2], [-INITIAL_SLOPE / 2]]))
            middle = INITIAL_SLOPE * INITIAL_THRESHOLD / 2
            self.fc3.bias.copy_(torch.tensor([-middle, middle]))

    def forward(self, distance: Tensor) -> Tensor:
        """Return float32 logits of the distances' shape."""
        with without_autocast(distance.device):
            classes: Tensor = self.fc3(distance.float().unsqueeze(-1))
        return classes[..., 1] - classes[..., 0]

    def coefficients(self) -> tuple[float, float]:
        """Return (slope, bias) of the line logit = bias - slope * distance; training may turn the slope's sign."""
        weight, bias = self.fc3.weight.flatten(), self.fc3.bias
        return (weight[0] - weight[1]).item(), (bias[1] - bias[0]).item()
