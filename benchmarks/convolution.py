"""How long the last stage's convolutions take forward and backward, as oneDNN and as one matrix product.

    taskset -c 0 python benchmarks/convolution.py

Batch 64, float32, one thread, channels_last, CPU seconds of the process, the least of five, for the maps that frames
of 64, 128 and 224 pixels leave the last stage of a ResNet18.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch
from torch import Tensor, nn

from avcorr.model.networks.convolution import LateConvolution


def least_seconds(layer: Callable[[Tensor], Tensor], features: Tensor) -> float:
    """Return the least CPU seconds of five forward and backward passes."""
    times = []
    for _ in range(5):
        began = time.process_time()
        layer(features).sum().backward()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Print a row for each map."""
    torch.set_num_threads(1)
    for inputs, size, stride in ((256, 4, 2), (512, 2, 1), (512, 4, 1), (512, 7, 1)):
        ours = LateConvolution(inputs, 512, stride).to(memory_format=torch.channels_last)
        plain = nn.Conv2d(inputs, 512, 3, stride, 1, bias=False).to(memory_format=torch.channels_last)
        features = torch.randn(64, inputs, size, size).to(memory_format=torch.channels_last).requires_grad_()
        seconds, reference = least_seconds(ours, features), least_seconds(plain, features)
        name = f"{inputs} channels, {size} x {size}, stride {stride}"
        print(f"{name}: {seconds:.3f} s, nn.Conv2d {reference:.3f} s, ratio {reference / seconds:.2f}")


if __name__ == "__main__":
    main()
