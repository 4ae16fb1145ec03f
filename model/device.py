"""Choice of the device and of the number format the towers compute in."""

import platform
from pathlib import Path
from typing import Literal

import torch

from avcorr.limits import cpu_count

from .errors import ModelError


def resolve_device(name: Literal["auto", "cpu", "cuda"], number: int = 0) -> torch.device:
    """Return the device to compute on; "auto" is the GPU if there is one, and number says which of several.

    Raises ModelError if "cuda" is asked for and torch sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda', but torch finds no CUDA GPU; set train.device to 'auto' or 'cpu'")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.get_num_threads() > cpu_count():  # torch knows affinity, but not a container's share of time
        torch.set_num_threads(cpu_count())
    return torch.device(name, number) if name == "cuda" else torch.device(name)


def resolve_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> torch.dtype:
    """Return the towers' number format; "auto" is bfloat16 where the hardware multiplies it faster than float32."""
    if name == "auto":
        name = "bf16" if has_fast_bfloat16(device) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 in hardware: CUDA from Ampere on, CPUs with AMX or AVX512_BF16.

    Read from the hardware and not timed, so that a run that is resumed computes as it did. Steps of two ResNet18 took
    0.61 to 0.64 of float32's time with AVX512_BF16 (docs/performance.md), ten times it on a CPU with neither.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    if all(callable(probe) for probe in probes):
        return any(probe() for probe in probes if probe)
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(encoding="utf-8") if platform.system() == "Linux" and flags.exists() else ""
    return "amx_bf16" in text or "avx512_bf16" in text


def tower_autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return the context in which the towers run; it does nothing for float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)
