"""How many floating-point operations a pair costs, and what share of a device's peak a training reaches."""

import copy
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..networks.network import CorrespondenceModel

BACKWARD_TO_FORWARD = 2
"""A backward pass costs about two forward ones: a gradient for the inputs and one for the weights of each layer."""

PEAK_BFLOAT16 = {
    "B200": 2250e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
}
"""Dense bfloat16 operations a second by words of the GPU's name, from NVIDIA's data sheets; the longest decides."""


class Cost(NamedTuple):
    """What a pair costs, in floating-point operations, and how many the device can do a second."""

    forward: float
    peak: float | None

    @property
    def training(self) -> float:
        """What a pair costs in a training step."""
        return self.forward * (1 + BACKWARD_TO_FORWARD)

    def utilisation(self, pairs_per_second: float) -> dict[str, float]:
        """Return the share of the peak as `flop_utilisation`, or nothing where the peak is not known."""
        return {"flop_utilisation": self.training * pairs_per_second / self.peak} if self.peak else {}


def pair_cost(
    model: CorrespondenceModel, frame_size: int, samples: int, device: torch.device, precision: torch.dtype
) -> Cost:
    """Return the cost of a pair of a frame of `frame_size` pixels and `samples` of sound on a device."""
    return Cost(forward_flops(model, frame_size, samples), peak_flops(device, precision))


def forward_flops(model: CorrespondenceModel, frame_size: int, samples: int) -> int:
    """Return the floating-point operations of deciding one pair; a multiply-add counts as two.

    Counts convolutions and matrix products of both towers and the head, which is nearly all: a second's spectrogram
    takes a few million more. Nothing is computed.
    """
    settings = model.settings.spectrogram
    windows = 1 + (samples - settings.window) // settings.hop
    copied = copy.deepcopy(model).to("meta").eval()
    frames = torch.zeros(1, frame_size, frame_size, 3, device="meta")
    spectrogram = torch.zeros(1, 1, settings.bins, windows, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copied.logits(copied.image_features(frames), copied.spectrogram_features(spectrogram))
    return int(counter.get_total_flops())


def peak_flops(device: torch.device, precision: torch.dtype) -> float | None:
    """Return the device's operations a second in this format, or None where it is not known."""
    known = device.type == "cuda" and precision == torch.bfloat16
    return peak_by_name(torch.cuda.get_device_name(device)) if known else None


def peak_by_name(name: str) -> float | None:
    """Return the dense bfloat16 operations a second of a GPU, or None if it is not in the table."""
    words = f" {name} ".replace("-", " ")
    known = [part for part in PEAK_BFLOAT16 if f" {part} " in words]
    return PEAK_BFLOAT16[max(known, key=len)] if known else None
