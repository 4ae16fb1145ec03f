"""A trained model for use: files, arrays or tensors in, unit vectors and probabilities out."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..device import resolve_device, resolve_precision, tower_autocast
from ..errors import ModelError
from ..networks.network import CorrespondenceModel
from ..saving.checkpoint import load_model
from ..saving.weights import WEIGHTS, read_weights
from .sound_file import read_sound, resample

AT_ONCE = 64  # images or sounds that the towers see together

Items = str | Path | np.ndarray | Tensor | Sequence[str | Path | np.ndarray | Tensor]
"""A file, an array or a tensor of one item or of several, or a sequence of files, arrays or tensors of one each."""


class Embedder:
    """A model in evaluation mode with what it needs to know of images and sounds.

    Images are RGB: files of any kind that Pillow reads, or uint8 (H, W, 3) and (B, H, W, 3). Their shorter side is
    scaled to that of the training's frames, unless they have the crop's size already, and the middle is taken.
    Sounds are files of any kind that libsndfile reads, or int16 or floating point in [-1, 1], (N,) and (B, N). Channels
    are averaged, other rates than the model's are resampled, and the window in the middle is taken.
    """

    def __init__(self, model: CorrespondenceModel, config: dict[str, Any], step: int, device: torch.device) -> None:
        self.model = model.eval().to(device).to(memory_format=torch.channels_last)
        self.config = config
        self.step = step
        self.device = device
        self.precision = resolve_precision(config["train"]["precision"], device)
        self.frame_size: int = config["pairs"]["frame_size"]
        self.short_side: int = max(config["shard"]["short_side"], self.frame_size)
        self.sample_rate = model.settings.spectrogram.sample_rate
        self.samples = round(config["pairs"]["window_seconds"] * self.sample_rate)

    def embed_images(self, images: Items) -> Tensor:
        """Return unit vectors (B, D), float32 on the CPU. Raises ModelError on what is no image."""
        features = self._run(self._images(images), self.model.image_features)
        return torch.cat([self.model.to_embeddings(part).cpu() for part in features])

    def embed_audio(self, sounds: Items, rate: int | None = None) -> Tensor:
        """Return unit vectors (B, D), float32 on the CPU, of sounds; rate, in Hz, is that of arrays and tensors.

        Raises ModelError on what is no sound, and on sounds shorter than the model's window.
        """
        features = self._run(self._sounds(sounds, rate), self.model.audio_features)
        return torch.cat([self.model.to_embeddings(part).cpu() for part in features])

    @torch.inference_mode()
    def probability(self, images: Items, sounds: Items, rate: int | None = None) -> Tensor:
        """Return the probability (B,) that image b and sound b belong together, for as many of each."""
        return torch.cat([self.model.logits(*pair).sigmoid().cpu() for pair in self._pairs(images, sounds, rate)])

    @torch.inference_mode()
    def heat_maps(self, images: Items, sounds: Items, rate: int | None = None) -> Tensor:
        """Return the probability (B, H', W') that the sound comes from each place; for models that localise."""
        model = self.model
        return torch.cat([model.location_logits(*pair).sigmoid().cpu() for pair in self._pairs(images, sounds, rate)])

    def _pairs(self, images: Items, sounds: Items, rate: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        image = torch.cat(list(self._run(self._images(images), self.model.image_features)))
        audio = torch.cat(list(self._run(self._sounds(sounds, rate), self.model.audio_features)))
        if len(image) != len(audio):
            raise ModelError(f"pairs need as many images as sounds; found {len(image)} and {len(audio)}")
        yield image, audio

    @torch.inference_mode()
    def _run(self, items: Iterator[np.ndarray], tower: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Yield the features of AT_ONCE items at a time."""
        waiting: list[np.ndarray] = []
        done = 0
        for item in items:
            waiting.append(item)
            if len(waiting) == AT_ONCE:
                yield self._features(waiting, tower)
                waiting, done = [], done + AT_ONCE
        if waiting:
            yield self._features(waiting, tower)
        elif not done:
            raise ModelError("nothing to embed; give a file, an array, a tensor, or a sequence of them")

    @torch.inference_mode()
    def _features(self, items: list[np.ndarray], tower: Callable[[Tensor], Tensor]) -> Tensor:
        with tower_autocast(self.device, self.precision):
            return tower(torch.from_numpy(np.stack(items)).to(self.device))

    def _images(self, images: Items) -> Iterator[np.ndarray]:
        from PIL import Image, ImageOps

        for item in _each(images, dimensions=3):
            if isinstance(item, np.ndarray):
                if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
                    raise ModelError(f"an image must be uint8 (H, W, 3), RGB; found {item.dtype} {item.shape}")
                picture = Image.fromarray(item)
            else:
                try:
                    picture = ImageOps.exif_transpose(Image.open(item)).convert("RGB")
                except (OSError, ValueError, Image.DecompressionBombError) as error:
                    raise ModelError(f"{item} cannot be read as an image: {error}") from error
            if picture.size != (self.frame_size, self.frame_size):
                scale = self.short_side / min(picture.size)
                width, height = (round(side * scale) for side in picture.size)
                picture = picture.resize((width, height), Image.Resampling.BICUBIC)
            left, top = ((side - self.frame_size) // 2 for side in picture.size)
            yield np.asarray(picture.crop((left, top, left + self.frame_size, top + self.frame_size)))

    def _sounds(self, sounds: Items, rate: int | None) -> Iterator[np.ndarray]:
        for item in _each(sounds, dimensions=1):
            if isinstance(item, np.ndarray):
                if item.ndim != 1 or not (item.dtype == np.int16 or item.dtype.kind == "f"):
                    raise ModelError(f"a sound must be int16 or floating point (N,); found {item.dtype} {item.shape}")
                wave = item.astype(np.float32)
                wave = wave / np.float32(32768) if item.dtype == np.int16 else wave
                yield self._window(resample(wave, rate or self.sample_rate, self.sample_rate))
            else:
                yield self._window(read_sound(item, self.sample_rate))

    def _window(self, wave: np.ndarray) -> np.ndarray:
        """Return the window in the middle of a wave of the model's rate, float32 (N,)."""
        if len(wave) < self.samples:
            needed, given = self.samples / self.sample_rate, len(wave) / self.sample_rate
            raise ModelError(f"a sound of {given:.3g} s is shorter than the model's window of {needed:g} s")
        start = (len(wave) - self.samples) // 2
        return wave[start : start + self.samples]


def _each(items: Items, dimensions: int) -> Iterator[str | Path | np.ndarray]:
    """Yield one file or one array at a time; an array of one more dimension holds several items."""
    if isinstance(items, Tensor):
        items = items.detach().cpu().numpy()
    if isinstance(items, str | Path):
        yield items
    elif isinstance(items, np.ndarray) and items.ndim == dimensions:
        yield items
    elif isinstance(items, np.ndarray) and items.ndim != dimensions + 1:
        raise ModelError(f"expected an array of {dimensions} or {dimensions + 1} dimensions; found {items.ndim}")
    else:
        for item in items:
            yield item.detach().cpu().numpy() if isinstance(item, Tensor) else item


def load_embedder(source: str | Path, *, best: bool = False, device: str = "auto") -> Embedder:
    """Return the model of a run folder, its newest or best, or of a folder that `avcorr export` wrote.

    Raises CheckpointError if there is none that can be read.
    """
    folder = Path(source)
    chosen = resolve_device(device)  # type: ignore[arg-type]
    if (folder / WEIGHTS).is_file():
        model, config, step = read_weights(folder)
    else:
        model, config, step = load_model(folder, chosen, best=best)
    return Embedder(model, config, step, chosen)
