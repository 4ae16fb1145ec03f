"""ResNet18 towers that map an image or a spectrogram to one vector."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from .convolution import Convolution, LateConvolution


class ResNet18(nn.Module):
    """ResNet18 (He et al., 2016, table 1) with any number of input channels and any base width.

    At width 64 and 3 input channels it is torchvision's resnet18, parameter names included.
    """

    def __init__(self, input_channels: int, outputs: int, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, outputs)
        self.layer2[0].conv1 = Convolution(width, 2 * width, stride=2)
        self.layer3[0].conv1 = Convolution(2 * width, 4 * width, stride=2)
        for number, block in enumerate(self.layer4.children()):
            block.conv1 = LateConvolution(4 * width if number == 0 else 8 * width, 8 * width, 2 if number == 0 else 1)
            block.conv2 = LateConvolution(8 * width, 8 * width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (B, outputs) for inputs (B, C, H, W)."""
        # One input channel leaves the memory format open, and convolution then picks the slower one for all layers.
        features = self.conv1(inputs).contiguous(memory_format=torch.channels_last)
        features = self.maxpool(self.relu(self.bn1(features)))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        outputs: Tensor = self.fc(self.avgpool(features).flatten(1))
        return outputs


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))
