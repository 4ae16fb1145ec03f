"""Settings of the model, its training and its evaluation; imports no torch, so that a config loads at once."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """Base of the settings: frozen, strict, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SpectrogramSettings(Settings):
    """How one window of sound becomes the audio tower's input."""

    sample_rate: int = Field(16000, ge=1000, description="rate of the PCM audio, Hz")
    window: int = Field(512, ge=16, description="length of the Hann window and of the Fourier transform, samples")
    hop: int = Field(159, ge=1, description="distance of two successive windows, samples")
    mel_bins: int = Field(0, ge=0, description="mel bands; 0 keeps the linear window // 2 + 1 bins")
    epsilon: float = Field(1.0e-7, gt=0, description="added to the power before the logarithm")

    @model_validator(mode="after")
    def _fits(self) -> "SpectrogramSettings":
        if self.hop > self.window:
            raise ValueError(f"hop must be at most window = {self.window}, else samples are skipped; found {self.hop}")
        if self.mel_bins > self.window // 2 + 1:
            raise ValueError(
                f"mel_bins must be at most window // 2 + 1 = {self.window // 2 + 1}; found {self.mel_bins}: "
                "use fewer bands or a longer window"
            )
        return self


class ModelSettings(Settings):
    """Size of the two towers."""

    embedding_size: int = Field(128, ge=2, description="length of the embedding of an image or a sound")
    width: int = Field(64, ge=8, multiple_of=8, description="channels of the first ResNet18 stage; the paper's is 64")
    spectrogram: SpectrogramSettings = Field(default_factory=SpectrogramSettings, description="the audio tower's input")


class TrainSettings(Settings):
    """Optimisation; the defaults are the paper's recipe."""

    steps: int = Field(400_000, ge=1, description="optimiser steps in all")
    batch_size: int = Field(256, ge=2, description="pairs in a step")
    learning_rate: float = Field(1.0e-3, gt=0, description="Adam's step size, the peak of the schedule")
    checkpoint_every: int = Field(5000, ge=1, description="steps between two checkpoints; the last step always has one")
    seed: int = Field(0, ge=0, description="seed of the initial weights, of sampling and of augmentation")
    objective: Literal["pair", "contrastive"] = Field(
        "pair",
        description="pair: cross-entropy on half matching, half mismatching pairs; "
        "contrastive: every other video's sound in the batch is a negative (symmetric InfoNCE)",
    )
    temperature: float = Field(0.07, gt=0, description="divides the cosines of the contrastive objective")
    schedule: Literal["constant", "cosine"] = Field("constant", description="course of the rate after the warm-up")
    warmup_steps: int = Field(0, ge=0, description="first steps, over which the rate rises linearly from 0")
    weight_decay: float = Field(0.0, ge=0, description="decoupled decay of convolution and linear weights")
    gradient_clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 is off")
    augment: Literal["none", "standard", "strong"] = Field("standard", description="augmentation on the device")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the towers; auto: bf16 where the hardware multiplies it faster, else fp32"
    )
    log_every: int = Field(50, ge=1, description="steps between two lines of metrics.jsonl")
    keep_checkpoints: int = Field(3, ge=1, description="newest checkpoints that are kept")
    compile: bool = Field(False, description="compile the towers with torch.compile (minutes at the start)")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda if there is one, else cpu")

    @model_validator(mode="after")
    def _fits(self) -> "TrainSettings":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps must be less than steps = {self.steps}; found {self.warmup_steps}")
        return self


class EvalSettings(Settings):
    """What `eval` measures and how often."""

    split: str = Field("test", min_length=1, description="split of the shards to evaluate")
    views_per_clip: int = Field(
        5, ge=1, description="(frame, sound) pairs taken from each clip, at times drawn by the seed"
    )
    seed: int = Field(0, ge=0, description="seed of the drawn pairs, the bootstrap and t-SNE")
    batch_size: int = Field(128, ge=1, description="views embedded at a time")
    retrieval_depth: int = Field(30, ge=1, description="length k of the ranked list for nDCG@k")
    tsne_classes: int = Field(10, ge=1, description="classes shown in the t-SNE map")
    bootstrap: int = Field(1000, ge=1, description="resamplings of source videos for the 95 % interval")
