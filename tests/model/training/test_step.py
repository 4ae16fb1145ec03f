"""A step never makes the host wait for the device: what is computed is decided without looking at values."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from avcorr.model.correspondence import build_model
from avcorr.model.training.run_log import Interval
from avcorr.model.training.step import Stepper
from avcorr.pipeline.correspondence.negatives import derange_batch
from tests.model.training.test_trainer import CPU, MODEL, PairBatch, batch, settings

OBJECTIVES = ("pair", "deranged", "contrastive", "sigmoid")
LOOKING = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class Watched(TorchDispatchMode):
    """Notes operations whose result the host must know before it goes on: values read, shapes that depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, words: Any = (), options: Any = None) -> Any:
        # Taking items by number has a known shape; taking them by a mask has not.
        by_number = function is torch.ops.aten.index.Tensor and all(index.dtype == torch.int64 for index in words[1])
        if any(tag in LOOKING for tag in function.tags) and not by_number:
            self.seen.append(str(function))
        return function(*words, **(options or {}))


def unread(step: int, objective: str) -> PairBatch:
    """Return a batch whose matches, which stay in the host's memory, are known without an operation."""
    whole = batch(step, matching_only=objective != "pair")
    return whole if objective == "pair" else whole._replace(matches=Known(whole.matches))


class Known(Tensor):
    """Matches of which all are true."""

    @staticmethod
    def __new__(cls, matches: Tensor) -> "Known":
        assert matches.all()
        return matches.as_subclass(cls)

    def all(self) -> bool:  # type: ignore[override]
        return True


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("augment", ["standard", "strong"])
def test_no_step_looks_at_a_value(objective: str, augment: str) -> None:
    chosen = settings(objective=objective, augment=augment, gradient_clip=1.0, weight_decay=0.1)
    stepper, interval = Stepper(build_model(MODEL, 0), chosen, CPU, derange=derange_batch), Interval()
    stepper.calibrate(batch(0, matching_only=True))
    stepper.step(unread(0, objective))  # tables are made once
    pairs = unread(1, objective)
    with Watched() as watched:
        interval.add(stepper.step(pairs), 16)
    assert watched.seen == []
    with Watched() as watched:
        assert interval.is_finite()
    assert watched.seen == ["aten._local_scalar_dense.default"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_step_waits_for_a_gpu(objective: str) -> None:
    chosen = settings(objective=objective, augment="strong", gradient_clip=1.0, precision="bf16")
    stepper, interval = (
        Stepper(build_model(MODEL, 0), chosen, torch.device("cuda"), derange=derange_batch),
        Interval(),
    )
    pairs = [PairBatch(*(column.pin_memory() for column in batch(step, objective != "pair"))) for step in range(4)]
    stepper.calibrate(pairs[0])
    for first in pairs[:2]:  # libraries are loaded, tables made
        interval.add(stepper.step(first), 16)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for later in pairs[2:]:
            interval.add(stepper.step(later), 16)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert interval.is_finite()
