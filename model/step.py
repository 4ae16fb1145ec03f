"""One training step: augment on the device, embed, judge, update."""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .augment import augment_audio, augment_frames, mask_spectrogram, step_generator
from .checkpoint import Checkpoint, save_checkpoint
from .correspondence import CorrespondenceModel
from .device import resolve_precision, tower_autocast
from .errors import ModelError, TrainingDiverged
from .objective import Objective, contrastive_objective, pair_objective
from .optimizer import build_optimizer, learning_rate, set_learning_rate
from .settings import TrainSettings


class Batch(Protocol):
    """What a step reads of a batch: B pairs of a frame and a sound."""

    @property
    def frames(self) -> Tensor:
        """RGB frames, uint8 (B, H, W, 3)."""

    @property
    def audio(self) -> Tensor:
        """Mono PCM, int16 (B, N)."""

    @property
    def matches(self) -> Tensor:
        """True where the sound is the frame's own, bool (B,)."""

    @property
    def videos(self) -> Tensor:
        """Identity of the frame's source video, int64 (B,)."""


class Stepper:
    """A model and its optimiser after `done` steps; moves the model to the device and to training mode."""

    def __init__(self, model: CorrespondenceModel, settings: TrainSettings, device: torch.device) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last).train()
        self.settings = settings
        self.device = device
        self.precision = resolve_precision(settings.precision, device)
        self.optimizer = build_optimizer(self.model, settings)
        self.done = 0

    def step(self, batch: Batch) -> Objective:
        """Do one optimiser step; its random draws are a function of the seed and of the steps done before."""
        generator = step_generator(self.settings.seed, self.done, self.device)
        set_learning_rate(self.optimizer, learning_rate(self.done, self.settings))
        objective = self._judge(batch, generator)
        self.optimizer.zero_grad()
        torch.autograd.backward(objective.loss)
        if self.settings.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        self.optimizer.step()
        self.done += 1
        return Objective(*(value.detach() for value in objective))

    def calibrate(self, batch: Batch) -> None:
        """Take the spectrogram's mean and deviation from a batch."""
        self.model.spectrogram.calibrate(batch.audio.to(self.device))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over weights, optimiser and step of a checkpoint."""
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.done = checkpoint.step

    def save(self, run: Path, config: dict[str, Any]) -> Path:
        """Write a checkpoint; raise TrainingDiverged, and write nothing, if a weight is not finite."""
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            raise self.diverged("weights")
        checkpoint = Checkpoint(self.done, self.model.state_dict(), self.optimizer.state_dict(), config)
        return save_checkpoint(run, checkpoint, self.settings.keep_checkpoints)

    def diverged(self, what: str) -> TrainingDiverged:
        """Return the error that says which values stopped being finite, and what to try."""
        settings = self.settings
        return TrainingDiverged(
            f"the {what} stopped being finite at or shortly before step {self.done}; checkpoints of earlier steps are "
            f"kept. Try a lower train.learning_rate (now {settings.learning_rate:g}), train.warmup_steps (now "
            f"{settings.warmup_steps}), train.gradient_clip (now {settings.gradient_clip:g}) or train.precision fp32"
        )

    def _judge(self, batch: Batch, generator: torch.Generator) -> Objective:
        model, settings = self.model, self.settings
        contrastive = settings.objective == "contrastive"
        if contrastive and not batch.matches.all():
            raise ModelError("the contrastive objective needs matching pairs only; sample with no mismatching ones")
        frames = augment_frames(batch.frames.to(self.device, non_blocking=True), settings.augment, generator)
        audio = augment_audio(batch.audio.to(self.device, non_blocking=True), settings.augment, generator)
        with tower_autocast(self.device, self.precision):
            spectrogram = mask_spectrogram(model.spectrogram(audio), settings.augment, generator)
            image, sound = model.embed_images(frames), model.embed_spectrogram(spectrogram)
        if contrastive:
            videos = batch.videos.to(self.device, non_blocking=True)
            return contrastive_objective(model, image, sound, videos, settings.temperature, generator)
        return pair_objective(model, image, sound, batch.matches.to(self.device, non_blocking=True))
