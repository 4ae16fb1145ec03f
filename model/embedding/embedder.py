"""A trained model for use: files, arrays or tensors in, unit vectors and probabilities out."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avcorr.files import local_path

from ..device import resolve_device, resolve_precision, tower_autocast
from ..errors import ModelError
from ..networks.network import CorrespondenceModel
from ..saving.checkpoint import load_model
from ..saving.weights import WEIGHTS, read_weights
from .sound_file import read_sound, resample

logger = logging.getLogger(__name__)
AT_ONCE = 64  # images or sounds that the towers see together

Items = str | Path | np.ndarray | Tensor | Sequence[str | Path | np.ndarray | Tensor]
"""A file, an array or a tensor of one item or of several, or a sequence of files, arrays or tensors of one each."""


class Embedder:
    """A model in evaluation mode with what it needs to know of images and sounds.

    Images are RGB: files of any kind that Pillow or `other_pictures` reads, or uint8 (H, W, 3) and (B, H, W, 3). Their
    shorter side is scaled to that of the training's frames, unless they have the crop's size already, and the middle is
    taken. What is transparent in a file lies on white.
    Sounds are files of any kind that libsndfile reads, or int16 or floating point in [-1, 1], (N,) and (B, N). Channels
    are averaged, other rates than the model's are resampled, and the window in the middle is taken; a shorter sound is
    filled up with silence, which the log says.

    Threads may share it: they decode side by side, and the towers compute for one at a time.
    """

    def __init__(self, model: CorrespondenceModel, config: dict[str, Any], step: int, device: torch.device) -> None:
        self.model = model.eval().to(device).to(memory_format=torch.channels_last)
        self.config = config
        self.step = step
        self.device = device
        self.precision = resolve_precision(config["train"]["precision"], device)
        self.frame_size: int = config["pairs"]["frame_size"]
        self.short_side: int = max(config["shard"]["short_side"], self.frame_size)
        self.sample_rate: int = model.settings.spectrogram.sample_rate
        self.samples: int = round(config["pairs"]["window_seconds"] * self.sample_rate)
        self.other_pictures: Callable[[Path], np.ndarray] | None = None
        """Reads a file that Pillow does not, as uint8 (H, W, 3), RGB."""
        self.other_sounds: Callable[[Path], np.ndarray] | None = None
        """Reads a file that libsndfile does not, as int16 (N,) at the model's rate."""
        self._lock = Lock()

    @property
    def seconds(self) -> float:
        """Length of the model's window of sound."""
        return self.samples / self.sample_rate

    def embed_images(self, images: Items) -> Tensor:
        """Return unit vectors (B, D), float32 on the CPU. Raises ModelError on what is no image."""
        return self._embed(self._images(images), self.model.image_features)

    def embed_audio(self, sounds: Items, rate: int | None = None) -> Tensor:
        """Return unit vectors (B, D), float32 on the CPU, of sounds; rate, in Hz, is that of arrays and tensors.

        Raises ModelError on what is no sound.
        """
        return self._embed(self._sounds(sounds, rate), self.model.audio_features)

    @torch.inference_mode()
    def probability(self, images: Items, sounds: Items, rate: int | None = None) -> Tensor:
        """Return the probability (B,) that image b and sound b belong together; one image may meet many sounds.

        Raises ModelError where there are several images and not as many sounds.
        """
        return self.model.logits(*self._pairs(images, sounds, rate)).sigmoid().cpu()

    @torch.inference_mode()
    def heat_maps(self, images: Items, sounds: Items, rate: int | None = None) -> Tensor:
        """Return the probability (B, H', W') that the sound comes from each position; for models that localise."""
        return self.model.location_logits(*self._pairs(images, sounds, rate)).sigmoid().cpu()

    def _pairs(self, images: Items, sounds: Items, rate: int | None) -> tuple[Tensor, Tensor]:
        image = torch.cat(list(self._run(self._images(images), self.model.image_features)))
        audio = torch.cat(list(self._run(self._sounds(sounds, rate), self.model.audio_features)))
        if len(image) not in (1, len(audio)):
            raise ModelError(f"pairs need one image or as many as sounds; found {len(image)} and {len(audio)}")
        return image.expand(len(audio), *image.shape[1:]), audio

    def _embed(self, items: Iterator[np.ndarray], tower: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([self.model.to_embeddings(part).cpu() for part in self._run(items, tower)])

    @torch.inference_mode()
    def _run(self, items: Iterator[np.ndarray], tower: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Yield the features of AT_ONCE items at a time."""
        empty = True
        while chunk := list(islice(items, AT_ONCE)):
            empty = False
            with self._lock, tower_autocast(self.device, self.precision):
                features = tower(torch.from_numpy(np.stack(chunk)).to(self.device))
            yield features
        if empty:
            raise ModelError("nothing to embed; give a file, an array, a tensor, or a sequence of them")

    def _images(self, images: Items) -> Iterator[np.ndarray]:
        from PIL import Image, UnidentifiedImageError

        from .picture_file import read_picture

        for item in _each(images, dimensions=3):
            if isinstance(item, np.ndarray):
                if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
                    raise ModelError(f"an image must be uint8 (H, W, 3), RGB; found {item.dtype} {item.shape}")
                picture = Image.fromarray(item)
            else:
                try:
                    picture = read_picture(item)
                except UnidentifiedImageError as error:
                    if self.other_pictures is None:
                        raise ModelError(f"{item} cannot be read as an image: {error}") from error
                    picture = Image.fromarray(self.other_pictures(Path(item)))
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
                yield self._window(self._read_sound(item))

    def _read_sound(self, path: str | Path) -> np.ndarray:
        try:
            return read_sound(path, self.sample_rate)
        except ModelError:
            if self.other_sounds is None or not Path(path).is_file():
                raise
        return self.other_sounds(Path(path)) / np.float32(32768)

    def _window(self, wave: np.ndarray) -> np.ndarray:
        """Return the window in the middle of a wave of the model's rate as int16 (N,), as in training.

        Silence follows a shorter one.
        """
        wave = np.rint(wave * 32768).clip(-32768, 32767).astype(np.int16)
        lacking = self.samples - len(wave)
        if lacking <= 0:
            start = -lacking // 2
            return wave[start : start + self.samples]
        if not len(wave):
            raise ModelError("a sound without samples cannot be embedded")
        given = len(wave) / self.sample_rate
        logger.warning("a sound of %.3g s was filled up with silence to the model's %g s", given, self.seconds)
        return np.pad(wave, (0, lacking))


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
    folder = local_path(source)
    chosen = resolve_device(device)  # type: ignore[arg-type]
    if (folder / WEIGHTS).is_file():
        model, config, step = read_weights(folder)
    else:
        model, config, step = load_model(folder, chosen, best=best)
    return Embedder(model, config, step, chosen)
