"""Settings: strict, torch-free; the schedule and the parameter groups that follow from them."""

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from avcorr.model.correspondence import build_model
from avcorr.model.device import resolve_device, resolve_precision
from avcorr.model.errors import ModelError
from avcorr.model.settings import ModelSettings, SpectrogramSettings, TrainSettings
from avcorr.model.training.optimizer import build_optimizer, learning_rate, set_learning_rate


def test_settings_load_without_torch() -> None:
    code = "import avcorr.model, avcorr.model.errors, avcorr.model.settings, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TrainSettings, {"steps": 0}, "greater than or equal to 1"),
        (TrainSettings, {"steps": "10"}, "valid integer"),
        (TrainSettings, {"step": 10}, "Extra inputs"),
        (TrainSettings, {"learning_rate": float("nan")}, "finite number"),
        (TrainSettings, {"steps": 10, "warmup_steps": 10}, "warmup_steps must be less than steps = 10; found 10"),
        (ModelSettings, {"width": 20}, "multiple of 8"),
        (ModelSettings, {"localise": True}, "localise: true needs architecture: avenet; found resnet18"),
        (SpectrogramSettings, {"window": 512, "transform": 256}, "at least window = 512; found 256"),
        (SpectrogramSettings, {"window": 64, "hop": 65}, "hop must be at most window = 64"),
        (SpectrogramSettings, {"window": 64, "hop": 32, "mel_bins": 34}, "mel_bins must be at most"),
    ],
)
def test_wrong_values_are_refused(kind: type, values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**values)


def test_warm_up_rises_linearly_and_cosine_falls_to_zero() -> None:
    settings = TrainSettings(steps=12, warmup_steps=4, learning_rate=0.8, schedule="cosine")
    rates = [learning_rate(step, settings) for step in range(12)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert rates[8] == pytest.approx(0.4)  # half of the eight steps after the warm-up
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[11] < 0.05
    falling = TrainSettings(
        steps=12, warmup_steps=2, learning_rate=0.8, schedule="stepwise", decay_every=4, decay_factor=0.5
    )
    assert [learning_rate(step, falling) for step in range(12)] == [0.4, *[0.8] * 5, *[0.4] * 4, *[0.2] * 2]
    assert {learning_rate(step, TrainSettings()) for step in (0, 1, 399_999)} == {1e-3}


def test_only_weights_of_the_towers_decay() -> None:
    model = build_model(ModelSettings(width=8), seed=0)
    optimizer = build_optimizer(model, TrainSettings(weight_decay=0.1, objective="contrastive"))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decays) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        decays_expected = name.endswith("weight") and parameter.ndim > 1
        assert decays[id(parameter)] == (0.1 if decays_expected else 0.0), name
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25, 0.25 * 30.0]


def test_decay_is_apart_from_the_gradient_or_in_it() -> None:
    """Without a gradient, AdamW shrinks a weight by rate times decay, Adam with L2 by its whole rate."""
    after = {}
    for kind in ("decoupled", "l2"):
        model = build_model(ModelSettings(width=8), seed=0)
        chosen = TrainSettings.model_validate({"weight_decay": 0.1, "decay": kind, "learning_rate": 0.01})
        optimizer = build_optimizer(model, chosen)
        weight = model.image_tower.conv1.weight
        before = weight.detach().clone()
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        after[kind] = (weight.detach() - before, before)
    change, before = after["decoupled"]
    torch.testing.assert_close(change, -0.001 * before)
    change, before = after["l2"]
    torch.testing.assert_close(change, -0.01 * before.sign(), atol=2e-4, rtol=0)


def test_named_device_and_precision_are_obeyed() -> None:
    cpu = resolve_device("cpu")
    assert cpu == torch.device("cpu")
    assert resolve_precision("fp32", cpu) == torch.float32
    assert resolve_precision("bf16", cpu) == torch.bfloat16
    assert resolve_precision("auto", cpu) in (torch.float32, torch.bfloat16)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="finds no CUDA GPU"):
            resolve_device("cuda")
