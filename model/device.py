"""Choice of the device and of the number format the towers compute in."""

import logging
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from avcorr.limits import cpu_count

from .errors import ModelError

logger = logging.getLogger(__name__)

_NO_MEMORY = re.compile("out of memory|can't allocate memory|cannot allocate memory|bad_alloc|ALLOC_FAILED", re.I)
"""How torch and its libraries say that memory is short, where it is no class of its own."""


def resolve_device(name: Literal["auto", "cpu", "cuda"], number: int = 0) -> torch.device:
    """Return the device to compute on; "auto" is the GPU if there is one that torch has kernels for.

    Args:
        number: which of several GPUs.

    Raises:
        ModelError: if "cuda" is asked for and torch sees no GPU, none of this number, or has no kernels for it.
    """
    if torch.get_num_threads() > cpu_count():  # torch knows affinity, but not a container's share of time
        torch.set_num_threads(cpu_count())
    if name == "cpu" or not torch.cuda.is_available():
        if name == "cuda":
            raise ModelError("device is 'cuda', but torch finds no CUDA GPU; set train.device to 'auto' or 'cpu'")
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise ModelError(
            f"process {number + 1} of this machine has no GPU: torch sees {torch.cuda.device_count()}; start one "
            "process a GPU (torchrun --nproc-per-node gpu), or set train.device to 'cpu'"
        )
    if lacking := _lacks_kernels(number):
        if name == "cuda":
            raise ModelError(f"{lacking}; install a torch that has, or set train.device to 'cpu'")
        logger.warning("%s: computing on the CPU; a torch that has them would use the GPU", lacking)
        return torch.device("cpu")
    return torch.device("cuda", number)


def _lacks_kernels(number: int) -> str:
    """Return that torch has no kernels for a GPU, or "".

    Machine code runs on GPUs of its major version from its minor on, PTX (`compute_`) on all later ones.
    """
    major, minor = torch.cuda.get_device_capability(number)
    built = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name) for name in torch.cuda.get_arch_list()]
    known = [(each[1], int(each[2]), int(each[3])) for each in built if each]
    fit = [(m == major and n <= minor) if kind == "sm" else (m, n) <= (major, minor) for kind, m, n in known]
    if any(fit) or not known:  # ROCm names its GPUs otherwise
        return ""
    have = ", ".join(torch.cuda.get_arch_list())
    name = torch.cuda.get_device_name(number)
    return f"torch {torch.__version__} has no kernels for {name} (sm_{major}{minor}; it has {have})"


@contextmanager
def memory_explained(lower: str) -> Iterator[None]:
    """Say in one line that memory is short, and what to lower.

    Raises:
        ModelError: in place of what torch, numpy and Python raise then.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        lines = str(error).splitlines() or ["no more is given"]
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        raise ModelError(f"out of memory ({lines[0][:200]}); lower {lower}") from error


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
