"""Adam with decay on weights only, and the learning rate as a pure function of the step."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import CheckpointError
from ..networks.network import CorrespondenceModel
from ..settings import TrainSettings


def build_optimizer(model: CorrespondenceModel, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba, 2015) with decay of convolution and linear weights.

    Biases, batch normalisation and the head do not decay. Each group's `rate` is its multiple of the learning rate.
    """
    towers = [*model.image_tower.parameters(), *model.audio_tower.parameters()]
    weights = [parameter for parameter in towers if parameter.ndim > 1]
    others = [parameter for parameter in towers if parameter.ndim <= 1]
    head_rate = settings.chosen_objective.head_rate
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay, "rate": 1.0},
        {"params": others, "weight_decay": 0.0, "rate": 1.0},
        {"params": list(model.head.parameters()), "weight_decay": 0.0, "rate": head_rate},
    ]
    kind = torch.optim.AdamW if settings.decay == "decoupled" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate, fused=True)


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Take over what Adam keeps of each weight from a checkpoint; rates and decays stay those of the settings.

    Raises CheckpointError when it is of other weights.
    """
    groups = optimizer.state_dict()["param_groups"]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    same = [group.get("params") for group in saved["param_groups"]] == [group["params"] for group in groups]
    for number, values in saved["state"].items():
        shapes = {name: tuple(value.shape) for name, value in values.items()}
        whole = tuple(weights[number].shape) if number in range(len(weights)) else None
        same = same and shapes == {"step": (), "exp_avg": whole, "exp_avg_sq": whole}
    if not same:
        raise CheckpointError("the checkpoint's optimizer is of other weights than its model; use an earlier one")
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return the rate of step 0, 1, ...: a linear rise, then constant, falling by steps, or half a cosine to 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "stepwise":
        falls = (step - settings.warmup_steps) // settings.decay_every
        return settings.learning_rate * settings.decay_factor**falls
    done = (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps)
    return settings.learning_rate * (1.0 + math.cos(math.pi * done)) / 2.0


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its multiple of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
