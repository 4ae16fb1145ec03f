"""One training step: augment on the device, encode, compare, update."""

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..device import resolve_precision, tower_autocast
from ..errors import ModelError, TrainingDiverged
from ..networks.network import CorrespondenceModel
from ..objectives.losses import EncodedPairs, Losses
from ..saving.checkpoint import Checkpoint, save_checkpoint, take_over
from ..settings import TrainSettings
from .augment import augment_audio, augment_frames, mask_spectrogram, step_generator
from .batchnorm import synchronise
from .distributed import ALONE, Processes
from .optimizer import build_optimizer, learning_rate, restore_optimizer, set_learning_rate
from .transfer import Batch, Transfer

logger = logging.getLogger(__name__)
NO_RANK = 1 << 31  # tells draws that all processes share from those of any one of them

Derange = Callable[[Tensor, torch.Generator], Tensor]
"""From video ids int64 (B,) and a generator to a derangement: a permutation int64 (B,) that gives each item the sound
of another video; where it cannot, `videos[permutation] == videos`."""


class TrainingLoss(nn.Module):
    """A batch to its losses; a module, so that DistributedDataParallel can wrap all that has weights."""

    def __init__(
        self,
        model: CorrespondenceModel,
        settings: TrainSettings,
        device: torch.device,
        processes: Processes,
        derange: Derange,
    ) -> None:
        super().__init__()
        self.model, self.settings, self.derange = model, settings, derange
        self.device, self.processes = device, processes
        self.precision = resolve_precision(settings.precision, device)
        self.transfer = Transfer(device)
        self.objective = settings.chosen_objective
        self.compute = self.objective.load()

    def forward(self, batch: Batch, step: int) -> Losses:
        """Return the losses of a batch; the random draws are a function of the seed, the step and the process."""
        model, settings = self.model, self.settings
        if self.objective.needs_aligned_pairs and not batch.matches.all():
            raise ModelError(f"the {settings.objective} objective needs matching pairs only; set pairs.aligned: true")
        moved = self.transfer(batch)
        generator = step_generator(settings.seed, step, self.device, self.processes.rank)
        frames = augment_frames(moved.frames, settings.augment, generator)
        waveform = augment_audio(moved.audio, settings.augment, generator)
        with tower_autocast(self.device, self.precision):
            spectrogram = mask_spectrogram(model.spectrogram(waveform), settings.augment, generator)
            image, audio = model.image_features(frames), model.spectrogram_features(spectrogram)

        def derange(videos: Tensor) -> Tensor:
            # Which sounds mismatch is decided over the whole batch, so alike in all processes.
            return self.derange(videos, step_generator(settings.seed, step, self.device, NO_RANK))

        pairs = EncodedPairs(image, audio, moved.matches, moved.videos, derange, self.processes)
        return self.compute(model, pairs, settings)


class Stepper:
    """A model and its optimiser after `done` steps; moves the model to the device and to training mode."""

    def __init__(
        self,
        model: CorrespondenceModel,
        settings: TrainSettings,
        device: torch.device,
        processes: Processes = ALONE,
        *,
        derange: Derange,
    ) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last).train()
        self.settings, self.device, self.processes = settings, device, processes
        self.done = 0
        if processes.ranks > 1 and settings.batch_norm == "synchronised":
            synchronise(self.model, device)
        loss = TrainingLoss(self.model, settings, device, processes, derange)
        self.loss: nn.Module = loss
        self.precision = loss.precision
        if processes.ranks > 1:
            # Running statistics are the first process's, which writes the checkpoints; nobody else needs them.
            known = inspect.signature(DistributedDataParallel).parameters
            name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
            options: dict[str, Any] = {name: False}
            self.loss = DistributedDataParallel(loss, gradient_as_bucket_view=True, **options)
        self.optimizer = build_optimizer(self.model, settings)
        self._pair_losses = torch.zeros((), device=device)  # since the last checkpoint
        self._steps = 0

    def step(self, batch: Batch) -> Losses:
        """Do one optimiser step; its random draws are a function of the seed and of the steps done before."""
        set_learning_rate(self.optimizer, learning_rate(self.done, self.settings))
        losses: Losses = self.loss(batch, self.done)
        self.optimizer.zero_grad()
        torch.autograd.backward(losses.loss)
        if self.settings.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        self.optimizer.step()
        self.done += 1
        self._pair_losses += losses.pair_loss
        self._steps += 1
        return Losses(*(value.detach() for value in losses))

    def calibrate(self, batch: Batch) -> None:
        """Take the spectrogram's mean and deviation from a batch, all processes' parts of it."""
        audio = batch.audio.to(self.device, torch.int32)  # of 16 bits neither gloo nor nccl gathers any
        self.model.spectrogram.calibrate(self.processes.gather(audio).to(torch.int16))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over weights, optimiser and step of a checkpoint."""
        for name, now in self._facts().items():
            before = checkpoint.facts.get(name, now)
            if before != now:
                logger.warning("this run began with %s %s and goes on with %s; losses may differ", name, before, now)
        take_over(self.model, checkpoint)
        restore_optimizer(self.optimizer, checkpoint.optimizer)
        self.done = checkpoint.step

    def save(self, run: Path, config: dict[str, Any], facts: Mapping[str, Any] = {}) -> Path:
        """Write a checkpoint; raise TrainingDiverged, and write nothing, if a weight is not finite."""
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            raise self.diverged("weights")
        facts = {**self._facts(), **facts}
        checkpoint = Checkpoint(self.done, self.model.state_dict(), self.optimizer.state_dict(), config, facts)
        self._pair_losses, self._steps = torch.zeros_like(self._pair_losses), 0
        return save_checkpoint(run, checkpoint, self.settings.keep_checkpoints)

    def _facts(self) -> dict[str, Any]:
        """Return what a checkpoint says of the training so far."""
        facts: dict[str, Any] = {
            "torch": str(torch.__version__),  # a class of its own, which would have to be unpickled
            "device": self.device.type,
            "precision": str(self.precision).removeprefix("torch."),
            "processes": self.processes.ranks,
        }
        # A mean of a few steps, as after an interrupt, is no ground to call a checkpoint the best.
        if self._steps >= max(1, self.settings.checkpoint_every // 2):
            facts["pair_loss"] = self._pair_losses.item() / self._steps
        return facts

    def diverged(self, what: str) -> TrainingDiverged:
        """Return the error that says which values stopped being finite, and what to try."""
        settings = self.settings
        return TrainingDiverged(
            f"the {what} stopped being finite at or shortly before step {self.done}; checkpoints of earlier steps are "
            f"kept. Try a lower train.learning_rate (now {settings.learning_rate:g}), train.warmup_steps (now "
            f"{settings.warmup_steps}), train.gradient_clip (now {settings.gradient_clip:g}) or train.precision fp32"
        )
