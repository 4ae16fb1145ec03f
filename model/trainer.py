"""The training loop: batches in, checkpoints and metrics out; knows nothing of where the batches come from."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .checkpoint import Checkpoint
from .correspondence import CorrespondenceModel
from .errors import ModelError
from .interrupt import uninterrupted
from .progress import Interval, Progress
from .settings import TrainSettings
from .step import Batch, Stepper

logger = logging.getLogger(__name__)


class Summary(NamedTuple):
    """What a call of `fit` did; loss and accuracy are None if no step was left to do."""

    step: int
    loss: float | None  # of the last step
    accuracy: float | None  # mean since the last line of metrics but one
    seconds: float
    checkpoint: Path


def fit(
    model: CorrespondenceModel,
    batches: Iterable[Batch],
    settings: TrainSettings,
    run: Path,
    *,
    config: dict[str, Any],
    start: Checkpoint | None = None,
    device: torch.device,
) -> Summary:
    """Train until `settings.steps`; leave checkpoints/, metrics.jsonl and tensorboard/ in the run folder.

    batches must begin with the batch of step `start.step` (0 without start). config is stored in each checkpoint. A
    new run takes the spectrogram's mean and deviation from its first batch.

    Raises TrainingDiverged if the loss is not finite and ModelError if the batches end early. On KeyboardInterrupt
    it saves the last whole step and raises it again.
    """
    began = time.perf_counter()
    stepper = Stepper(model, settings, device)
    if start is not None:
        stepper.restore(start)
    if settings.compile:
        _compile_towers(stepper.model, device)
    with _tuned_convolutions(device), Progress(run, stepper.done, settings.steps) as progress:
        try:
            metrics = _run_steps(stepper, iter(batches), progress, run, config)
        except KeyboardInterrupt:
            logger.warning("interrupted after step %d; saving it", stepper.done)
            stepper.save(run, config)
            raise
    path = stepper.save(run, config)
    return Summary(stepper.done, metrics.get("loss"), metrics.get("accuracy"), time.perf_counter() - began, path)


def _run_steps(
    stepper: Stepper, batches: Iterator[Batch], progress: Progress, run: Path, config: dict[str, Any]
) -> dict[str, Any]:
    """Do the steps that are left and return the last line of metrics."""
    settings = stepper.settings
    metrics: dict[str, Any] = {}
    interval = Interval()
    while stepper.done < settings.steps:
        with interval.waiting():
            batch = next(batches, None)
        if batch is None:
            raise ModelError(f"the batches ended after step {stepper.done} of {settings.steps}; give an endless stream")
        if stepper.done == 0:
            stepper.calibrate(batch)
        with uninterrupted():
            interval.add(stepper.step(batch), pairs=len(batch.frames))
        progress.advance()
        reports = stepper.done % settings.log_every == 0 or stepper.done == settings.steps
        # Reading the loss makes the host wait for a GPU, so there it is read only when it is reported.
        if (reports or stepper.device.type == "cpu") and not interval.is_finite():
            raise stepper.diverged("loss")
        if reports:
            metrics = interval.metrics(stepper.done, stepper.optimizer)
            progress.write(metrics)
            interval = Interval()
        if stepper.done % settings.checkpoint_every == 0 and stepper.done < settings.steps:
            with uninterrupted():
                stepper.save(run, config)
    return metrics


def _tuned_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Let cuDNN time its convolution kernels once and use the fastest; shapes never change between steps."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True)


def _compile_towers(model: CorrespondenceModel, device: torch.device) -> None:
    """Compile the towers, or go on without if the machine lacks what torch.compile needs (a C++ compiler, Triton)."""
    try:
        torch.compile(lambda values: values * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:  # each back end fails in its own way
        logger.warning("torch.compile does not work here, training without it: %s", str(error).splitlines()[0])
        return
    model.image_tower.compile(dynamic=False)
    model.audio_tower.compile(dynamic=False)
