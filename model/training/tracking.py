"""Weights & Biases, where it is asked for: the same figures and samples as on TensorBoard."""

import json
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from avcorr.files import write_atomically
from avcorr.json_file import read_json

from ..errors import ModelError
from .samples import Samples

NAME = "wandb.json"
"""Holds the run's id, so that a resumed training goes on in the same run."""
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_ID = TypeAdapter(Annotated[dict[Literal["id"], _Name], Field(min_length=1)])


class Tracking:
    """A run of a project; a resumed training adds to it. WANDB_MODE=offline writes RUN/wandb, to be sent later."""

    def __init__(self, run: Path, project: str, config: dict[str, Any], sample_rate: int) -> None:
        """Raise ModelError if the package wandb is not installed, or does not let us in."""
        try:
            import wandb
        except ImportError as error:
            raise ModelError(
                f"train.wandb is {project!r}, but the package wandb is missing; install it (pip install "
                "'avcorr[wandb]') or leave the setting empty"
            ) from error
        self._wandb, self._sample_rate = wandb, sample_rate
        path = run / NAME
        try:
            known = read_json(path, _ID, 4096)["id"] if path.exists() else secrets.token_hex(8)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}); delete it, and the log begins anew") from error
        write_atomically(path, json.dumps({"id": known}).encode() + b"\n")
        try:
            self._run = wandb.init(
                project=project, name=run.name, id=known, resume="allow", dir=str(run),
                config=config,
            )  # fmt: skip
        except wandb.Error as error:
            raise ModelError(
                f"Weights & Biases does not begin: {error}; set WANDB_MODE=offline, or leave train.wandb empty"
            ) from error
        # Steps of our own, because wandb's only rise, and a resumed run does the steps since its checkpoint again.
        self._run.define_metric("*", step_metric="step")

    def write(self, scalars: dict[str, Any], step: int) -> None:
        """Add the figures of a step."""
        self._run.log({"step": step, **scalars})

    def show(self, samples: Samples, step: int) -> None:
        """Add the pairs, as pictures and sounds."""
        media: dict[str, list[Any]] = {"pairs/pictures": [], "pairs/sounds": []}
        for picture, sound, matches, probability in zip(*samples[:4], strict=True):
            caption = f"{'match' if matches else 'mismatch'}, probability {probability.item():.3f}"
            media["pairs/pictures"].append(self._wandb.Image(picture.numpy(), caption=caption))
            media["pairs/sounds"].append(self._wandb.Audio(sound.numpy(), self._sample_rate, caption=caption))
        self._run.log({"step": step, **media})

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()
