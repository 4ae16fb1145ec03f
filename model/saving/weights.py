"""Weights for others: safetensors, the configuration they need, and a model card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import safetensors
import torch
from pydantic import Field, TypeAdapter
from safetensors.torch import load, save
from typing_extensions import TypedDict

from avcorr.files import read_file, replacing
from avcorr.json_file import read_json

from ..errors import CheckpointError
from ..networks.network import CorrespondenceModel
from .checkpoint import build_trained
from .checkpoint_gate import MOST_STEPS, RunConfig
from .model_card import model_card

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MOST_BYTES = 1 << 34


class _Described(TypedDict):
    format: int
    step: Annotated[int, Field(ge=0, le=MOST_STEPS)] | None
    config: RunConfig


_DESCRIBED = TypeAdapter(_Described)


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
        described = read_json(folder / CONFIG, _DESCRIBED)
        weights = load(read_file(folder / WEIGHTS, MOST_BYTES))
    except (OSError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise CheckpointError(f"{folder} holds no readable weights ({reason}); write them: avcorr export") from error
    if described["format"] != FORMAT:
        raise CheckpointError(f"{folder / CONFIG} has format {described['format']}; this version reads {FORMAT}")
    model = build_trained(described["config"]["model"], weights, str(folder / WEIGHTS))
    return model.to(memory_format=torch.channels_last), dict(described["config"]), described["step"] or 0
