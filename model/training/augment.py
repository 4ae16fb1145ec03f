"""Augmentation of whole batches on their device; every draw comes from the generator passed in.

"standard" is AVE-Net's (Arandjelovic and Zisserman, 2018, section 3.3): flip, brightness and saturation jitter, and
amplitude jitter of the sound. "strong" adds contrast, hue, grey, resized crops, cut-outs, noise and spectrogram masks.
Nothing moves in time: sound stays on the time grid on which it was cut.
"""

import math
from functools import cache
from typing import Literal

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from ..networks.spectrogram import to_waveform

Strength = Literal["none", "standard", "strong"]

COLOUR_JITTER = 0.4  # brightness, contrast and saturation are multiplied by 1 +- this
HUE_JITTER = 0.1  # of a full turn
GREY_PROBABILITY = 0.1
CROP_SIDE = (0.6, 1.0)  # of the frame's side, each side on its own
CUTOUT_PROBABILITY = 0.5
CUTOUT_SIDE = (0.1, 0.4)  # of the frame's side
GAIN = {"standard": (0.5, 1.5), "strong": (0.25, 2.0)}
NOISE_DECIBELS = (-50.0, -20.0)  # against the sound's own level
MASKED_BANDS = 0.2  # largest share of frequencies, and of times, that one mask covers

# Rows turn RGB into luma and two chroma axes of the YIQ space (NTSC, 1953); hue is the angle of the chroma.
RGB_TO_YIQ = torch.tensor(((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)))
YIQ_TO_RGB = torch.linalg.inv(RGB_TO_YIQ)


def step_generator(seed: int, step: int, device: torch.device, *parts: int) -> torch.Generator:
    """Return a generator of one training step, a pure function of its numbers, so that a resumed run needs no state.

    parts tell several generators of one step apart, as those of several processes.
    """
    # Mixed, because the CPU's generator keeps 32 bits of its seed.
    state = numpy.random.SeedSequence((seed, step, *parts)).generate_state(1)[0]
    return torch.Generator(device).manual_seed(int(state))


def augment_frames(frames: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Return changed frames (B, H, W, 3), float32 in 0..255, of frames uint8; "none" returns them as they are."""
    if strength == "none":
        return frames
    flip = torch.rand(len(frames), generator=generator, device=frames.device) < 0.5
    if strength == "standard":
        frames = torch.where(flip[:, None, None, None], frames.flip(2), frames).float()
    else:
        frames = _resized_crop(frames.float(), flip, generator)
    frames = _jitter_colour(frames, strength, generator)
    return _cut_out(frames, generator) if strength == "strong" else frames


def augment_audio(audio: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Return a changed waveform (B, N), float32, full scale 1, of int16 PCM; "none" returns the PCM as it is."""
    if strength == "none":
        return audio
    waveform = to_waveform(audio)
    if strength == "strong":
        level = waveform.square().mean(dim=1, keepdim=True).sqrt()
        decibels = _uniform(len(audio), NOISE_DECIBELS, generator)[:, None]
        noise = torch.randn(waveform.shape, generator=generator, device=audio.device)
        waveform = waveform.addcmul_(noise, level * 10.0 ** (decibels / 20.0))
    return waveform.mul_(_uniform(len(audio), GAIN[strength], generator)[:, None])


def mask_spectrogram(spectrogram: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Return spectrograms (B, 1, F, T) with a band of frequencies and one of times at 0, the data's mean ("strong").

    Masks as in SpecAugment (Park et al., 2019, section 2), one of each kind.
    """
    if strength != "strong":
        return spectrogram
    bands = _inside_span(spectrogram.shape[2], len(spectrogram), (0.0, MASKED_BANDS), generator)
    times = _inside_span(spectrogram.shape[3], len(spectrogram), (0.0, MASKED_BANDS), generator)
    return spectrogram.masked_fill_((bands[:, :, None] | times[:, None, :])[:, None], 0.0)


def _uniform(count: int, bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low


def _inside_span(length: int, count: int, sides: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return (count, length) bool: True inside one span per row, whose share of the length lies between the sides."""
    side = _uniform(count, sides, generator)
    start = _uniform(count, (0.0, 1.0), generator) * (1.0 - side)
    position = (torch.arange(length, device=generator.device) + 0.5) / length
    return (position >= start[:, None]) & (position < (start + side)[:, None])


def _resized_crop(frames: Tensor, flip: Tensor, generator: torch.Generator) -> Tensor:
    """Return a crop of each frame (B, H, W, 3), mirrored where flip (B,) says so, stretched to the frame's size."""
    count = len(frames)
    width, height = _uniform(count, CROP_SIDE, generator), _uniform(count, CROP_SIDE, generator)
    # affine_grid's frame spans -1..1: a crop of side s may have its centre anywhere in -(1 - s)..(1 - s).
    centre_x = _uniform(count, (-1.0, 1.0), generator) * (1.0 - width)
    centre_y = _uniform(count, (-1.0, 1.0), generator) * (1.0 - height)
    zero = torch.zeros_like(width)
    mirrored = torch.where(flip, -width, width)
    rows = torch.stack([mirrored, zero, centre_x, zero, height, centre_y], dim=1).view(count, 2, 3)
    grid = functional.affine_grid(rows, [count, 3, *frames.shape[1:3]], align_corners=False)
    crops = functional.grid_sample(frames.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return crops.permute(0, 2, 3, 1)


@cache
def _colour_axes(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return both matrices on a device; copied once, since the host waits for a GPU at such a copy."""
    return RGB_TO_YIQ.to(device), YIQ_TO_RGB.to(device)


def _jitter_colour(frames: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Return frames (B, H, W, 3) in 0..255 after one random linear map of RGB per frame."""
    count, device = len(frames), frames.device
    factor = (1.0 - COLOUR_JITTER, 1.0 + COLOUR_JITTER)
    brightness, saturation = _uniform(count, factor, generator), _uniform(count, factor, generator)
    contrast, turn = torch.ones(count, device=device), torch.zeros(count, device=device)
    if strength == "strong":
        contrast = _uniform(count, factor, generator)
        turn = _uniform(count, (-HUE_JITTER, HUE_JITTER), generator) * 2.0 * math.pi
        grey = _uniform(count, (0.0, 1.0), generator) < GREY_PROBABILITY
        saturation = saturation.masked_fill(grey, 0.0)
    # In YIQ, saturation scales the chroma and hue turns it, so all of the jitter is one 3 x 3 matrix.
    to_yiq, to_rgb = _colour_axes(device)
    yiq = torch.zeros(count, 3, 3, device=device)
    yiq[:, 0, 0] = 1.0
    yiq[:, 1, 1] = yiq[:, 2, 2] = saturation * turn.cos()
    yiq[:, 2, 1] = saturation * turn.sin()
    yiq[:, 1, 2] = -yiq[:, 2, 1]
    matrix = (brightness * contrast)[:, None, None] * (to_rgb @ yiq @ to_yiq)
    luma = (frames.mean(dim=(1, 2)) @ to_yiq[0]) * brightness
    offset = ((1.0 - contrast) * luma)[:, None, None].expand(count, 1, 3)
    pixels = torch.baddbmm(offset, frames.reshape(count, -1, 3), matrix.transpose(1, 2))
    return pixels.clamp_(0.0, 255.0).view(frames.shape)


def _cut_out(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Return frames (B, H, W, 3), some with one rectangle painted in the middle grey."""
    count, height, width, _ = frames.shape
    rows = _inside_span(height, count, CUTOUT_SIDE, generator)
    columns = _inside_span(width, count, CUTOUT_SIDE, generator)
    chosen = _uniform(count, (0.0, 1.0), generator) < CUTOUT_PROBABILITY
    inside = rows[:, :, None] & columns[:, None, :] & chosen[:, None, None]
    return frames.masked_fill_(inside[..., None], 127.5)
