"""Samples of the batch at hand for the log: pairs as pictures and sounds, and the embeddings of the whole batch."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..device import tower_autocast
from ..networks.network import CorrespondenceModel
from ..networks.spectrogram import to_waveform
from .transfer import Batch

PAIRS = 8  # shown as pictures and sounds
POINTS = 128  # pairs in the map of embeddings
THUMBNAIL = 48  # pixels; a sprite of 256 stays below the 8192 that browsers take
DEVIATIONS = 2.5  # of the spectrogram, from black to white


class Samples(NamedTuple):
    """Pairs of a batch, on the CPU. P pairs are shown, of N the embeddings."""

    pictures: Tensor
    """uint8 (P, H, 2 W or 3 W, 3): the frame beside the spectrogram that the tower sees, and where the model says
    where the sound is, the frame again in that light."""
    sounds: Tensor
    """float32 (P, S) in [-1, 1)."""
    matches: Tensor
    """bool (P,)."""
    probabilities: Tensor
    """float32 (P,): the model's, that they correspond."""
    images: Tensor
    audio: Tensor
    """float32 (N, D) both, length 1."""
    thumbnails: Tensor
    """float32 (2 N, 3, T, T) in [0, 1]: the frames, then the spectrograms."""
    videos: Tensor
    """int64 (N,): identity of the frame's source video."""


@torch.no_grad()
def look(model: CorrespondenceModel, batch: Batch, device: torch.device, precision: torch.dtype) -> Samples:
    """Return what there is to show of the first pairs of a batch, without augmentation; the model is left as it was."""
    was_training = model.training
    model.eval()
    try:
        # Compiled towers would be compiled again for evaluation, which takes minutes.
        with torch.compiler.set_stance("force_eager"), tower_autocast(device, precision):
            frames, audio = batch.frames[:POINTS].to(device), batch.audio[:POINTS].to(device)
            spectrogram = model.spectrogram(audio)
            image, sound = model.image_features(frames), model.spectrogram_features(spectrogram)
            pictures = [frames[:PAIRS].permute(0, 3, 1, 2) / 255.0, _as_picture(spectrogram[:PAIRS], frames.shape[1])]
            if model.localises:
                light = model.location_logits(image[:PAIRS], sound[:PAIRS]).sigmoid()[:, None]
                pictures.append(pictures[0] * functional.interpolate(light, frames.shape[1:3], mode="bilinear"))
            thumbnails = [
                functional.interpolate(frames.permute(0, 3, 1, 2) / 255.0, (THUMBNAIL, THUMBNAIL), mode="area"),
                _as_picture(spectrogram, THUMBNAIL),
            ]
            return Samples(
                pictures=(torch.cat(pictures, dim=3) * 255.0).byte().permute(0, 2, 3, 1).cpu(),
                sounds=to_waveform(batch.audio[:PAIRS]).cpu(),
                matches=batch.matches[:PAIRS].cpu(),
                probabilities=model.logits(image[:PAIRS], sound[:PAIRS]).sigmoid().cpu(),
                images=model.to_embeddings(image).cpu(),
                audio=model.to_embeddings(sound).cpu(),
                thumbnails=torch.cat(thumbnails).cpu(),
                videos=batch.videos[:POINTS].cpu(),
            )
    finally:
        model.train(was_training)


def _as_picture(spectrogram: Tensor, side: int) -> Tensor:
    """Return normalised spectrograms (B, 1, F, T) as grey pictures (B, 3, side, side) in [0, 1], low tones below."""
    grey = ((spectrogram.float() / DEVIATIONS).clamp(-1.0, 1.0) + 1.0) / 2.0
    return functional.interpolate(grey.flip(2), (side, side), mode="area").expand(-1, 3, -1, -1)
