"""Settings of the model, its training and its evaluation; imports no torch, so that a config loads at once."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .networks.architectures import ARCHITECTURES, Architecture
from .objectives.objectives import OBJECTIVES as OBJECTIVES
from .objectives.objectives import Objective


class Settings(BaseModel):
    """Base of the settings: frozen, strict, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


LONGEST_WINDOW = 16_384
"""Samples; a spectrogram by a matrix, as exported programs have it, takes a GB of them."""


class SpectrogramSettings(Settings):
    """How one window of sound becomes the audio tower's input."""

    sample_rate: int = Field(16000, ge=1000, le=192_000, description="rate of the PCM audio, Hz")
    window: int = Field(512, ge=16, le=LONGEST_WINDOW, description="length of the Hann window, samples")
    transform: int = Field(
        0,
        ge=0,
        le=LONGEST_WINDOW,
        description="length of the Fourier transform, samples: the window filled up with zeros; 0: the window's",
    )
    hop: int = Field(159, ge=1, description="distance of two successive windows, samples")
    mel_bins: int = Field(
        0, ge=0, le=1024, description="mel bands; 0 keeps the linear bins, half the transform and one more"
    )
    epsilon: float = Field(1.0e-7, gt=0, description="added to the power before the logarithm")

    @property
    def points(self) -> int:
        """Length of the Fourier transform, samples."""
        return self.transform or self.window

    @property
    def bins(self) -> int:
        """Rows of the spectrogram."""
        return self.mel_bins or self.points // 2 + 1

    @model_validator(mode="after")
    def _fits(self) -> "SpectrogramSettings":
        if self.hop > self.window:
            raise ValueError(f"hop must be at most window = {self.window}, else samples are skipped; found {self.hop}")
        if self.points < self.window:
            raise ValueError(f"transform must be 0 or at least window = {self.window}; found {self.transform}")
        if self.mel_bins > self.points // 2 + 1:
            raise ValueError(
                f"mel_bins must be at most window // 2 + 1 = {self.points // 2 + 1}; found {self.mel_bins}: "
                "use fewer bands or a longer window"
            )
        return self


class ModelSettings(Settings):
    """Which network, and its size."""

    architecture: Literal["resnet18", "l3net", "avenet"] = Field(
        "resnet18", description="resnet18: two of them and a distance; l3net: Look, Listen and Learn; avenet: AVE-Net"
    )
    localise: bool = Field(False, description="say where in the frame the sound is (AVOL-Net); for avenet only")
    embedding_size: int = Field(
        128, ge=2, le=65_536, description="length of the embedding of an image or a sound; l3net: of its hidden layer"
    )
    width: int = Field(
        64, ge=8, le=4096, multiple_of=8, description="channels of the first stage; all three papers have 64"
    )
    spectrogram: SpectrogramSettings = Field(default_factory=SpectrogramSettings, description="the audio tower's input")

    @property
    def network(self) -> Architecture:
        """What the chosen architecture declares."""
        found = ARCHITECTURES[self.architecture]
        return (self.localise and found.localising) or found

    @model_validator(mode="after")
    def _fits(self) -> "ModelSettings":
        if self.localise and not ARCHITECTURES[self.architecture].localising:
            able = " or ".join(name for name, found in ARCHITECTURES.items() if found.localising)
            raise ValueError(f"localise: true needs architecture: {able}; found {self.architecture}")
        return self


class TrainSettings(Settings):
    """Optimisation; the defaults are the paper's recipe."""

    steps: int = Field(400_000, ge=1, description="optimiser steps in all")
    batch_size: int = Field(256, ge=2, description="pairs in a step")
    learning_rate: float = Field(1.0e-3, gt=0, description="Adam's step size, the peak of the schedule")
    checkpoint_every: int = Field(5000, ge=1, description="steps between two checkpoints; the last step always has one")
    seed: int = Field(0, ge=0, description="seed of the initial weights, of sampling and of augmentation")
    objective: Literal["pair", "deranged", "contrastive", "sigmoid"] = Field(
        "pair",
        description="pair: cross-entropy on half matching, half mismatching pairs; "
        "deranged: the same on matching pairs and as many mismatching ones of the same frames and sounds; "
        "contrastive: every other video's sound in the batch is a negative (symmetric InfoNCE); "
        "sigmoid: the same negatives, each pair decided on its own by the head",
    )
    temperature: float = Field(0.07, gt=0, description="divides the cosines of the contrastive objective")
    schedule: Literal["constant", "cosine", "stepwise"] = Field(
        "constant", description="course of the rate after the warm-up; cosine: to 0; stepwise: by decay_factor"
    )
    decay_every: int = Field(10_000, ge=1, description="steps between two falls of the stepwise schedule")
    decay_factor: float = Field(0.94, gt=0, le=1, description="what each fall of the stepwise schedule leaves")
    warmup_steps: int = Field(0, ge=0, description="first steps, over which the rate rises linearly from 0")
    weight_decay: float = Field(0.0, ge=0, description="decay of convolution and linear weights, of nothing else")
    decay: Literal["decoupled", "l2"] = Field(
        "decoupled", description="decoupled: beside Adam's scaling, times the rate (AdamW); l2: added to the gradient"
    )
    gradient_clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 is off")
    batch_norm: Literal["per_device", "synchronised"] = Field(
        "per_device", description="whose items the batch statistics are of when several GPUs train: own or all"
    )
    augment: Literal["none", "standard", "strong"] = Field("standard", description="augmentation on the device")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the towers; auto: bf16 where the hardware multiplies it faster, else fp32"
    )
    log_every: int = Field(50, ge=1, description="steps between two lines of metrics.jsonl")
    board_every: int = Field(
        5000, ge=0, description="steps between two times that pairs and embeddings are shown on TensorBoard; 0: never"
    )
    wandb: str = Field("", description="project on Weights & Biases that gets the log, too; empty: none")
    plateau_steps: int = Field(
        2000, ge=0, description="steps with a loss no better than guessing before a warning says what to try; 0: never"
    )
    keep_checkpoints: int = Field(3, ge=1, description="newest checkpoints that are kept")
    compile: bool = Field(False, description="compile the towers with torch.compile (minutes at the start)")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda if there is one, else cpu")

    @property
    def chosen_objective(self) -> Objective:
        """What the chosen objective declares."""
        return OBJECTIVES[self.objective]

    @model_validator(mode="after")
    def _fits(self) -> "TrainSettings":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps must be less than steps = {self.steps}; found {self.warmup_steps}")
        return self


PROTOCOLS = ("full", "avenet", "cavmae-1545", "vggsounder", "list")


class EvalSettings(Settings):
    """What `eval` measures and how often."""

    split: str = Field("test", min_length=1, description="split of the shards to evaluate")
    views_per_clip: int = Field(
        5, ge=1, description="seeds of the pairs: each takes another view of a clip, at a time that the seed draws"
    )
    protocol: str = Field(
        "full/center",
        description="gallery and pooling of retrieval: full, avenet, cavmae-1545, vggsounder or list, "
        "then /center or /mean10; docs/evaluation.md",
    )
    gallery: str = Field("", description="file of the ids of the clips to evaluate, one a line")
    ontology: str = Field("", description="AudioSet's ontology.json, for nDCG with AVE-Net's gain")
    seed: int = Field(0, ge=0, description="first seed of the drawn pairs; of the bootstrap and of the map")
    batch_size: int = Field(128, ge=1, description="views read at a time; changes no figure")
    retrieval_depth: int = Field(30, ge=1, description="length k of the ranked list for nDCG@k")
    tsne_classes: int = Field(10, ge=1, description="classes shown in the map of the embeddings")
    projection: Literal["tsne", "umap"] = Field(
        "tsne", description="how that map is made; umap needs pip install 'avcorr[umap]'"
    )
    bootstrap: int = Field(1000, ge=1, description="resamplings of source videos for the 95 % interval")

    @field_validator("protocol")
    @classmethod
    def _whole_name(cls, protocol: str) -> str:
        name, _, pooling = protocol.partition("/")
        pooling = pooling or ("random" if name == "avenet" else "center")
        allowed = ("random",) if name == "avenet" else ("center", "mean10")
        if name not in PROTOCOLS:
            raise ValueError(f"there is no protocol {name!r}; the protocols are {', '.join(PROTOCOLS)}")
        if pooling not in allowed:
            raise ValueError(f"the protocol {name} has the pooling {' or '.join(allowed)}; found {pooling!r}")
        return f"{name}/{pooling}"

    @model_validator(mode="after")
    def _gallery_fits(self) -> "EvalSettings":
        name = self.protocol.split("/")[0]
        if name in ("cavmae-1545", "list") and not self.gallery:
            raise ValueError(f"the protocol {name} needs a gallery: a file of ids, one a line (--gallery FILE)")
        if name in ("avenet", "full") and self.gallery:
            raise ValueError(f"the protocol {name} chooses its gallery itself; for your own list take protocol: list")
        return self
