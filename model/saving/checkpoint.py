"""Checkpoints of a run: written whole or not at all, checked before they are read, never unpickled.

RUN/checkpoints/step-00001234.pt holds the state after 1234 steps: weights, optimiser, configuration, and facts about
the training. It holds no state of a random generator, since every draw of a step is a function of seed and step. The
newest are kept, and the best: the one before which the pairs' cross-entropy was lowest, named in best.json.
"""

import io
import json
import logging
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor
from typing_extensions import TypedDict

from avcorr.files import remove_left, write_atomically
from avcorr.json_file import read_json

from ..correspondence import make_model
from ..errors import CheckpointError
from ..networks.network import CorrespondenceModel
from ..settings import ModelSettings
from .checkpoint_gate import check_content, read_archive

FORMAT = 1
FOLDER = "checkpoints"
NAME = re.compile(r"step-(\d{8,13})\.pt")
BEST = "best.json"

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """State of a training run after `step` optimiser steps; state dicts of the model and the optimiser."""

    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    config: dict[str, Any]  # the whole configuration of the run, JSON-able
    facts: dict[str, Any] = {}
    """What the training was like, JSON-able; "pair_loss" decides which is the best, "sequence" says of which pairs."""


class _Best(TypedDict):
    file: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    pair_loss: Annotated[float, Field(allow_inf_nan=False)]


_BEST = TypeAdapter(_Best)


def checkpoint_path(run: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return run / FOLDER / f"step-{step:08d}.pt"


def save_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint atomically, then remove all but the newest `keep` and the best; return its path."""
    path = checkpoint_path(run, checkpoint.step)
    remove_left(path.parent)  # what a training that was killed while it wrote has left
    data = io.BytesIO()  # of a disk that is full torch would say "unexpected pos"
    torch.save({"format": FORMAT, **checkpoint._asdict()}, data)
    write_atomically(path, data.getbuffer())
    loss, best = checkpoint.facts.get("pair_loss"), _read_best(run)
    if loss is not None and math.isfinite(loss) and (best is None or loss <= best["pair_loss"]):
        best = {"file": path.name, "pair_loss": float(loss)}
        write_atomically(path.with_name(BEST), json.dumps(best).encode() + b"\n")
    for old in list_checkpoints(run)[keep:]:
        if best is None or old.name != best["file"]:
            old.unlink()
    return path


def best_checkpoint(run: Path) -> Checkpoint:
    """Return the checkpoint before which the pairs' cross-entropy was lowest, or the newest readable one.

    Raises CheckpointError if there is none.
    """
    best = _read_best(run)
    if best is not None:
        try:
            return load_checkpoint(run / FOLDER / best["file"])
        except CheckpointError as error:
            logger.warning("passing over the best checkpoint: %s", error)
    return latest_checkpoint(run)


def _read_best(run: Path) -> _Best | None:
    """Return what best.json says, or None where it is missing, damaged, or names a checkpoint that has gone."""
    path = run / FOLDER / BEST
    if not path.exists():
        return None
    try:
        best = read_json(path, _BEST, 4096)
    except (OSError, ValueError) as error:
        logger.warning("passing over %s, which is damaged (%s)", path, error)
        return None
    return best if (run / FOLDER / best["file"]).is_file() else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; raise CheckpointError if it is missing, damaged or of another format."""
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; give the path of a file RUN/{FOLDER}/step-*.pt")
    try:
        content = read_archive(path)
        if isinstance(content, dict) and content.get("format") == FORMAT:
            content.setdefault("facts", {})  # absent in the first version of format 1
            check_content(content)
            return Checkpoint(*(content[field] for field in Checkpoint._fields))
    except Exception as error:  # torch raises many kinds on a damaged file
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise CheckpointError(f"{path} is damaged ({reason}); delete it and use an earlier one") from error
    found = content.get("format") if isinstance(content, dict) else type(content).__name__
    raise CheckpointError(f"{path} is no checkpoint of format {FORMAT}: found {found!r:.60}; train again")


def list_checkpoints(run: Path) -> list[Path]:
    """Return the run's checkpoints, newest first."""
    found = [(int(match[1]), path) for path in (run / FOLDER).glob("*.pt") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def latest_checkpoint(run: Path) -> Checkpoint:
    """Return the newest readable checkpoint; a damaged one is passed over with a warning.

    Raises CheckpointError if there is none.
    """
    paths = list_checkpoints(run)
    for path in paths:
        try:
            return load_checkpoint(path)
        except CheckpointError as error:
            logger.warning("passing over a checkpoint: %s", error)
    state = f"{len(paths)} checkpoints, none of them readable" if paths else "no checkpoint"
    raise CheckpointError(f"{run / FOLDER} holds {state}; train this run first")


def require_same_config(checkpoint: Checkpoint, config: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Raise CheckpointError that names the fields in which config differs from the checkpoint's.

    free: dotted names, of a field or of a whole section, that may differ.
    """
    exempt = tuple(f"{name}." for name in free)
    fixed = (
        {name: value for name, value in _flatten(values).items() if not f"{name}.".startswith(exempt)}
        for values in (checkpoint.config, config)
    )
    if differing := _differences(*fixed):
        raise CheckpointError(
            f"the checkpoint of step {checkpoint.step} belongs to another configuration: {'; '.join(differing)}; "
            "restore these values or train in a new run folder"
        )


def take_over(model: CorrespondenceModel, checkpoint: Checkpoint) -> None:
    """Give a checkpoint's weights to a model; raise CheckpointError that names what differs if it is another network.

    The same configuration makes another network where the code has changed.
    """
    require_same_network(model, checkpoint.model, f"the checkpoint of step {checkpoint.step}")
    model.load_state_dict(checkpoint.model)


def require_same_network(model: CorrespondenceModel, weights: Mapping[str, Tensor], what: str) -> None:
    """Raise CheckpointError that names the weights whose shapes are not those of a model, which may be on `meta`."""
    shapes = ({name: _shape(value) for name, value in state.items()} for state in (weights, model.state_dict()))
    if differing := _differences(*shapes):
        others = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise CheckpointError(
            f"{what} is of another network than this version builds: "
            f"{'; '.join(differing[:3])}{others}; use the version that wrote it, or train in a new run folder"
        )


def _shape(value: Tensor) -> str:
    shape = str(tuple(value.shape))
    return shape if value.is_floating_point() or not value.ndim else f"{value.dtype} {shape}"


def build_trained(settings: Mapping[str, Any], weights: Mapping[str, Tensor], what: str) -> CorrespondenceModel:
    """Return the network of settings with weights, in evaluation mode on the CPU.

    Its memory is asked for once the shapes fit. Raises CheckpointError, which begins with `what` the weights are of.
    """
    try:
        chosen = ModelSettings.model_validate(settings)
    except ValidationError as error:
        names = ", ".join(f"model.{'.'.join(map(str, problem['loc']))}" for problem in error.errors()[:10])
        raise CheckpointError(
            f"{what} has settings that this version does not know: {names}; use the version that wrote it"
        ) from error
    with torch.device("meta"):
        require_same_network(make_model(chosen), weights, what)
    model = make_model(chosen)
    model.load_state_dict(weights)
    return model.eval()


def load_model(
    run: Path, device: torch.device, *, best: bool = False
) -> tuple[CorrespondenceModel, dict[str, Any], int]:
    """Return a run's newest or best model in evaluation mode on the device, its configuration and its step."""
    checkpoint = best_checkpoint(run) if best else latest_checkpoint(run)
    what = f"the checkpoint of step {checkpoint.step}"
    model = build_trained(checkpoint.config["model"], checkpoint.model, what)
    return model.to(device).to(memory_format=torch.channels_last), checkpoint.config, checkpoint.step


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ, sorted, each with both values."""
    return [
        f"{name} (checkpoint: {saved.get(name, 'absent')}, now: {now.get(name, 'absent')})"
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name, "absent") != now.get(name, "absent")
    ]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
