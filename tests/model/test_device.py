"""What to compute on: a GPU that torch cannot use and memory that is short are told in one line."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from avcorr.model.device import memory_explained, resolve_device
from avcorr.model.errors import ModelError
from tests.support.commands import TINY


def pretend(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], built: list[str]) -> None:
    """Let torch see one GPU."""
    values = {
        "is_available": True, "device_count": 1, "get_device_name": "NVIDIA T", "get_device_capability": capability,
        "get_arch_list": built,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)


@pytest.mark.parametrize(
    ("capability", "built", "fits"),
    [
        ((9, 0), ["sm_80", "sm_90"], True), ((8, 9), ["sm_80", "sm_90"], True), ((8, 0), ["sm_86"], False),
        ((6, 1), ["sm_75", "sm_80"], False), ((12, 0), ["sm_90", "compute_90"], True), ((12, 0), ["sm_90"], False),
        ((10, 0), ["sm_100a"], True), ((9, 0), ["gfx90a"], True), ((7, 0), ["sm_75", "compute_75"], False),
    ],
)  # fmt: skip
def test_a_gpu_without_kernels_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capability: tuple[int, int], built: list[str],
    fits: bool,
) -> None:  # fmt: skip
    pretend(monkeypatch, capability, built)
    with caplog.at_level(logging.WARNING):
        assert resolve_device("auto").type == ("cuda" if fits else "cpu")
    if fits:
        assert resolve_device("cuda") == torch.device("cuda", 0) and not caplog.messages
        return
    assert "has no kernels for NVIDIA T" in caplog.text and len(caplog.messages) == 1
    with pytest.raises(ModelError, match=r"has no kernels for NVIDIA T \(sm_\d+; it has .*set train.device to 'cpu'"):
        resolve_device("cuda")


def test_a_process_without_a_gpu_of_its_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (9, 0), ["sm_90"])
    with pytest.raises(ModelError, match="process 3 of this machine has no GPU: torch sees 1; start one process a GPU"):
        resolve_device("auto", 2)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ..."), MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: ..."),
    ],
)  # fmt: skip
def test_short_memory_is_one_line(error: Exception) -> None:
    with pytest.raises(ModelError, match=r"^out of memory \([^\n]+\); lower train.batch_size$"):
        with memory_explained("train.batch_size"):
            raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_explained("train.batch_size"):
        raise RuntimeError("shapes do not fit")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_training_that_needs_more_memory_than_there_is_ends_in_one_line(tmp_path: Path, shards: Path) -> None:
    script = f"""
import resource, sys
import avcorr.workflows.fitting
from avcorr.commands.main import main
mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 600_000_000,) * 2)
words = ["train", "--shards", {str(shards)!r}, "--run", {str(tmp_path / "run")!r}]
settings = {[*TINY, "train.batch_size=4096"]!r}
sys.exit(main(words + [word for setting in settings for word in ("--set", setting)]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert line.startswith("error: out of memory (") and "; lower train.batch_size (now 4096)" in line
