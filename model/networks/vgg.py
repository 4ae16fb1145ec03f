"""The VGG-like subnet of L3-Net and AVE-Net: four blocks of two 3 x 3 convolutions each."""

import torch
from torch import Tensor, nn

from ..errors import ModelError

BLOCKS = 4


class VggSubnet(nn.Module):
    """Convolutions of the subnets of L3-Net (2017) and AVE-Net (2018, figure 2), without a head.

    Every convolution is followed by batch normalisation and ReLU, in this order; the blocks have width, 2, 4 and 8
    times width channels, and 2 x 2 max-pooling stands between them. L3-Net's first convolution has stride 1; AVE-Net's
    has stride 2, which costs a quarter and was found "not to affect the performance".

    The convolutions have no bias, since the normalisation that follows has one: 4,687,296 parameters for three
    channels at width 64, where a subnet with biases would have 1,920 more.
    """

    def __init__(self, input_channels: int, width: int, first_stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = input_channels
        for block in range(BLOCKS):
            outputs = width << block
            layers += [nn.MaxPool2d(2)] if block else []
            layers += _convolution(inputs, outputs, 1 if block else first_stride) + _convolution(outputs, outputs, 1)
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.channels = inputs
        self.smallest = first_stride << (BLOCKS - 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (B, 8 * width, H', W') for inputs (B, C, H, W).

        224 x 224 becomes 14 x 14 with first stride 2 and 28 x 28 with 1, 257 x 199 becomes 16 x 12 or 32 x 24.
        Raises ModelError if nothing would be left.
        """
        if min(inputs.shape[2:]) < self.smallest:
            height, width = inputs.shape[2:]
            raise ModelError(
                f"an image or a spectrogram of {height} x {width} is too small for this network, which halves it "
                f"{self.smallest.bit_length() - 1} times; give {self.smallest} pixels, bins and windows at least: a "
                "larger pairs.frame_size or pairs.window_seconds, a smaller model.spectrogram.hop"
            )
        # One input channel leaves the memory format open, and convolution then picks the slower one for all layers.
        first, *others = self.layers
        features: Tensor = first(inputs).contiguous(memory_format=torch.channels_last)
        for layer in others:
            features = layer(features)
        return features


class GlobalMaxPool(nn.Module):
    """pool4 of both papers: the largest value of each channel over the whole map, whatever its size."""

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, C) for features (B, C, H, W)."""
        return features.amax(dim=(2, 3))


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
