"""3 x 3 convolutions of the towers: right on the narrowest maps, and fast on small ones with many channels on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST_MAP = 16  # positions of the output; from there on oneDNN is as fast


class Convolution(nn.Conv2d):
    """nn.Conv2d, 3 x 3, padding 1, no bias, whose gradient is right on maps one position wide, too.

    oneDNN's bfloat16 kernels for the gradient of the weights leave columns of the kernel unwritten when a strided
    convolution gives a map one position wide: NaN, or whatever the memory held. Seen with torch 2.15 from an input one
    wide with AVX512_BF16, and also two wide with AMX. There the input is made three wide by more of the padding's
    zeros, and the second column of the output is dropped, which changes no value.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride=stride, padding=1, bias=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B, outputs, ceil(H / stride), ceil(W / stride)) for (B, inputs, H, W)."""
        width = features_BCHW.shape[3]
        if self.stride[1] == 2 and width <= 2 and features_BCHW.device.type == "cpu" and _is_bfloat16(features_BCHW):
            return super().forward(functional.pad(features_BCHW, (0, 3 - width)))[..., :1]
        return super().forward(features_BCHW)


class LateConvolution(Convolution):
    """The convolution of a ResNet's last stage, computed in another way where that is faster.

    On a map of 2 x 2 with 512 channels oneDNN reads all 9 MB of weights for each image. One matrix product for the
    whole batch (im2col; Chellapilla et al., 2006) reads them once, which takes half the time or less on a CPU without
    matrix units: benchmarks/convolution.py, docs/performance.md. On larger maps and in bfloat16 it is nn.Conv2d.
    """

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return (B, outputs, ceil(H / stride), ceil(W / stride)) for (B, inputs, H, W)."""
        height, width = (-(-size // self.stride[0]) for size in features_BCHW.shape[2:])
        if not _is_plain_cpu(features_BCHW) or height * width > LARGEST_MAP:
            return super().forward(features_BCHW)
        padded_BHWC = functional.pad(features_BCHW.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        step = self.stride[0]
        bottom, right = (height - 1) * step + 1, (width - 1) * step + 1
        taps = [padded_BHWC[:, y : y + bottom : step, x : x + right : step] for y in range(3) for x in range(3)]
        columns = torch.cat(taps, dim=-1).flatten(0, 2)
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return (columns @ weight).view(len(features_BCHW), height, width, -1).permute(0, 3, 1, 2)


def _is_plain_cpu(tensor: Tensor) -> bool:
    """Tell whether the tensor is computed here and now in float32, and not written down for another machine."""
    if torch.compiler.is_exporting() or tensor.device.type != "cpu":
        return False
    return tensor.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def _is_bfloat16(tensor: Tensor) -> bool:
    """Tell whether a CPU multiplies the tensor in bfloat16."""
    return torch.is_autocast_enabled("cpu") or tensor.dtype == torch.bfloat16
