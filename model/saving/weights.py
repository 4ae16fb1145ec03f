"""Weights for others: safetensors, the configuration they need, and a model card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save

from avcorr.files import replacing

from ..correspondence import make_model
from ..errors import CheckpointError
from ..networks.network import CorrespondenceModel
from ..settings import ModelSettings
from .model_card import model_card

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def write_weights(
    folder: Path, model: CorrespondenceModel, config: Mapping[str, Any], facts: Mapping[str, Any]
) -> Path:
    """Write model.safetensors, config.json and README.md; return the folder.

    config is the run's whole configuration, facts are as of `model_card`. The weights come last, so their presence
    means complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).unlink(missing_ok=True)
    described = {"format": FORMAT, "step": facts.get("step"), "config": dict(config)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    for name, content in (
        (CONFIG, (json.dumps(described, indent=1, allow_nan=False) + "\n").encode()),
        (CARD, model_card(model, config, facts).encode()),
        (WEIGHTS, save(tensors, metadata={"format": "pt"})),
    ):
        with replacing(folder / name) as file:
            file.write(content)
    return folder


def read_weights(folder: Path) -> tuple[CorrespondenceModel, dict[str, Any], int]:
    """Return the model of such a folder in evaluation mode on the CPU, its configuration and its step.

    Raises CheckpointError if files are missing or damaged, or of another format or network.
    """
    try:
        described = json.loads((folder / CONFIG).read_bytes())
        if described["format"] != FORMAT:
            raise CheckpointError(f"{folder / CONFIG} has format {described['format']}; this version reads {FORMAT}")
        model = make_model(ModelSettings.model_validate(described["config"]["model"]))
        model.load_state_dict(load((folder / WEIGHTS).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no readable weights ({error}); write them: avcorr export") from error
    model.eval().to(memory_format=torch.channels_last)
    return model, described["config"], int(described["step"] or 0)
