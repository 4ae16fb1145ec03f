"""Choice of the device and of the number format the towers compute in."""

import platform
from pathlib import Path
from typing import Literal

import torch

from .errors import ModelError


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device to compute on; "auto" is the GPU if there is one.

    Raises ModelError if "cuda" is asked for and torch sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda', but torch finds no CUDA GPU; set train.device to 'auto' or 'cpu'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def resolve_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """Return the towers' number format; "auto" is bfloat16 where the hardware multiplies it faster than float32."""
    if name == "auto":
        name = "bf16" if has_fast_bfloat16(device) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether the device has matrix units for bfloat16: CUDA from Ampere on, CPUs with AMX.

    A CPU without them emulates bfloat16: a ResNet18 step then took ten times as long as in float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    if probe is not None:
        return bool(probe())
    flags = Path("/proc/cpuinfo")
    return platform.system() == "Linux" and flags.exists() and "amx_bf16" in flags.read_text(encoding="utf-8")


def tower_autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return the context in which the towers run; it does nothing for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)
