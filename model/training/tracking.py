"""Weights & Biases, where it is asked for: the same figures and samples as on TensorBoard."""

import json
import secrets
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .samples import Samples

NAME = "wandb.json"
"""Holds the run's id, so that a resumed training goes on in the same run."""


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
        if not path.exists():
            path.write_text(json.dumps({"id": secrets.token_hex(8)}) + "\n", encoding="utf-8")
        try:
            self._run = wandb.init(
                project=project, name=run.name, id=json.loads(path.read_bytes())["id"], resume="allow", dir=str(run),
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
