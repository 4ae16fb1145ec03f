"""The training loop: batches in, checkpoints and metrics out; knows nothing of where the batches come from."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from avcorr.signals import terminable

from ..errors import ModelError
from ..networks.network import CorrespondenceModel
from ..saving.checkpoint import Checkpoint, checkpoint_path
from ..settings import TrainSettings
from .distributed import ALONE, Processes
from .flops import Cost, pair_cost
from .interrupt import DeferredSignals, deferred_signals
from .run_log import Interval, Progress, Reporter
from .samples import look
from .step import Derange, Stepper
from .tracking import Tracking
from .transfer import Batch
from .watch import Watch

SIGNAL_SECONDS = 0.5
"""How long a signal may take to arrive after the failure that it caused."""

logger = logging.getLogger(__name__)


class Summary(NamedTuple):
    """Outcome of a call of `fit`; loss and accuracy are None if no step was left to do."""

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
    facts: Mapping[str, Any] = {},
    start: Checkpoint | None = None,
    device: torch.device,
    processes: Processes = ALONE,
    derange: Derange,
) -> Summary:
    """Train until `settings.steps`; leave checkpoints/, metrics.jsonl and tensorboard/ in the run folder.

    A new run takes the spectrogram's mean and deviation from its first batch. With several processes the first one
    writes, and all must call this alike.

    Args:
        model: trained in place, moved to the device.
        batches: this process's part of each batch, from step `start.step` on (0 without start). Where they are a
            Reporter, each line of metrics has its figures, too.
        run: folder of the run.
        config, facts: stored in each checkpoint, JSON-able.
        start: the checkpoint to go on from.
        processes: those that train together.
        derange: chooses the mismatching sounds inside a batch.

    Raises:
        TrainingDiverged: if the loss is not finite.
        ModelError: if the batches end early.
        Exception: what the batches raise, when the last whole step is saved.
        KeyboardInterrupt: on Ctrl-C, or Terminated, which is one, on signals.ENDING, when the last whole step is saved.
    """
    began = time.perf_counter()
    stepper = Stepper(model, settings, device, processes, derange=derange)
    if start is not None:
        stepper.restore(start)
    if settings.compile:
        compile_towers(stepper.model, device)
    with terminable(), deferred_signals() as deferred, tuned_convolutions(device), ExitStack() as stack:
        progress = stack.enter_context(closing(_progress(stepper, run, config))) if processes.is_first else None
        reporter = batches if isinstance(batches, Reporter) else None
        watch = Watch(settings, stepper.done)
        loop = _Loop(stepper, progress, run, config, facts, deferred, reporter, watch, saved=stepper.done)
        try:
            metrics = loop.run(iter(batches))
        except (KeyboardInterrupt, _NoBatch) as end:
            # Again, because the signal may have come while what holds signals back was being put in place.
            with deferred_signals():
                if stepper.done > loop.saved or isinstance(end, KeyboardInterrupt):
                    what = "no more batches" if isinstance(end, _NoBatch) else "interrupted"
                    logger.warning("%s after step %d; saving it", what, stepper.done)
                    loop.save()
                    end.add_note(f"step {stepper.done} is saved; avcorr.train with resume=True goes on there")
                processes.wait()  # the others end only when it is saved, or their end would end the first
            deferred.dismiss_workers()
            if isinstance(end, _NoBatch):
                raise end.error from end.error.__cause__
            raise
        path = loop.save()
        processes.wait()
    return Summary(stepper.done, metrics.get("loss"), metrics.get("accuracy"), time.perf_counter() - began, path)


class _NoBatch(Exception):  # noqa: N818 - it says what happened
    """The next batch cannot be had; `error` says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class _Loop:
    """The steps of one call of `fit`."""

    stepper: Stepper
    progress: Progress | None
    folder: Path
    config: dict[str, Any]
    facts: Mapping[str, Any]
    deferred: DeferredSignals
    reporter: Reporter | None
    watch: Watch
    cost: Cost | None = None
    saved: int = 0
    """The step of the newest checkpoint."""

    def run(self, batches: Iterator[Batch]) -> dict[str, Any]:
        """Do the steps that are left and return the last line of metrics.

        Raises:
            KeyboardInterrupt: after a signal.
            _NoBatch: when a process has none.
        """
        stepper, settings, processes = self.stepper, self.stepper.settings, self.stepper.processes
        metrics: dict[str, Any] = {}
        interval = Interval(processes)
        while stepper.done < settings.steps:
            with interval.waiting():
                batch, error = self._next(batches)
            # Alone, a signal takes effect where the next batch is waited for; together, all end after the same step.
            end = processes.agree(2 if processes.ranks > 1 and self.deferred else int(batch is None))
            if end == 2:
                raise self.deferred.error()
            if end or batch is None:
                done = f"{stepper.done} of {settings.steps}"
                text = "give an endless stream" if batch is None else "another process says why"
                raise _NoBatch(error or ModelError(f"the batches ended after step {done}; {text}"))
            self.cost = self.cost or _cost(stepper, batch)
            if stepper.done == 0:
                stepper.calibrate(batch)
            interval.add(stepper.step(batch), pairs=len(batch.frames))
            if self.progress:
                self.progress.advance()
            reports = stepper.done % settings.log_every == 0 or stepper.done == settings.steps
            # Reading the loss makes the host wait for a GPU, so there it is read only when it is reported.
            if (reports or stepper.device.type == "cpu") and not interval.is_finite():
                raise stepper.diverged("loss")
            if reports:
                metrics = self._report(interval)
                interval = Interval(processes)
            if self.progress and settings.board_every and stepper.done % settings.board_every == 0:
                rate = stepper.model.settings.spectrogram.sample_rate
                self.progress.show(look(stepper.model, batch, stepper.device, stepper.precision), stepper.done, rate)
            if stepper.done % settings.checkpoint_every == 0 and stepper.done < settings.steps:
                self.save()
        return metrics

    def save(self) -> Path:
        """Write a checkpoint, in the first process, and return its path."""
        self.saved = self.stepper.done
        if self.progress is None:
            return checkpoint_path(self.folder, self.stepper.done)
        return self.stepper.save(self.folder, self.config, self.facts)

    def _next(self, batches: Iterator[Batch]) -> tuple[Batch | None, Exception | None]:
        """Return the next batch, or why there is none: workers that load die of the signal that ends all processes."""
        try:
            with self.deferred.let_through() if self.stepper.processes.ranks == 1 else nullcontext():
                return next(batches, None), None
        except Exception as error:
            time.sleep(SIGNAL_SECONDS)
            if self.stepper.processes.ranks == 1 and self.deferred:
                raise self.deferred.error() from None
            return None, error

    def _report(self, interval: Interval) -> dict[str, Any]:
        """Write the interval's line of metrics."""
        stepper = self.stepper
        metrics: dict[str, Any] = interval.metrics(stepper.done, stepper.optimizer)
        if self.progress and self.cost:
            metrics |= self.reporter.report() if self.reporter else {}
            metrics |= self.cost.utilisation(metrics["pairs_per_second"] / stepper.processes.ranks)
            self.progress.write(metrics)
            self.watch.see(metrics)
        return metrics


def _progress(stepper: Stepper, run: Path, config: dict[str, Any]) -> Progress:
    """Return the record of this call; raise ModelError where Weights & Biases is asked for and cannot be had."""
    settings, tracking = stepper.settings, None
    if settings.wandb:
        run.mkdir(parents=True, exist_ok=True)
        tracking = Tracking(run, settings.wandb, config, stepper.model.settings.spectrogram.sample_rate)
    return Progress(run, stepper.done, settings.steps, tracking)


def _cost(stepper: Stepper, batch: Batch) -> Cost:
    """Return what a pair of this batch costs; the first process logs it."""
    cost = pair_cost(stepper.model, batch.frames.shape[1], batch.audio.shape[1], stepper.device, stepper.precision)
    if stepper.processes.is_first:
        logger.info(
            "%s, %s: a pair costs %.2f GFLOP forward, %.2f in training; share of the peak: %s",
            stepper.device.type, str(stepper.precision).removeprefix("torch."), cost.forward / 1e9, cost.training / 1e9,
            f"of {cost.peak / 1e12:.0f} TFLOP/s" if cost.peak else "not known for this device",
        )  # fmt: skip
    return cost


def tuned_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Let cuDNN time its convolution kernels once and use the fastest; shapes never change between steps."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True)


def compile_towers(model: CorrespondenceModel, device: torch.device) -> None:
    """Compile the towers, or go on without if the machine lacks what torch.compile needs (a C++ compiler, Triton)."""
    try:
        torch.compile(lambda values: values * 2 + 1)(torch.ones(8, device=device))
    except Exception as error:  # each back end fails in its own way
        logger.warning("torch.compile does not work here, training without it: %s", str(error).splitlines()[0])
        return
    model.image_tower.compile(dynamic=False)
    model.audio_tower.compile(dynamic=False)
