"""How long a training step takes in float32 and in bfloat16.

    taskset -c 0 python benchmarks/precision.py

The two full-width ResNet18 on random frames and sounds, one thread, CPU seconds of a step, the least of three, at the
quickstart's sizes and at the paper's.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch
from torch import Tensor

from avcorr.model.correspondence import build_model
from avcorr.model.settings import ModelSettings, SpectrogramSettings, TrainSettings
from avcorr.model.training.step import Stepper
from avcorr.pipeline.correspondence.negatives import derange_batch


class Pairs(NamedTuple):
    """A batch as training reads it."""

    frames: Tensor
    audio: Tensor
    matches: Tensor
    videos: Tensor


def step_seconds(precision: str, frame_size: int, spectrogram: SpectrogramSettings, batch_size: int) -> float:
    """Return the least CPU seconds of three steps after a first one."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (batch_size, frame_size, frame_size, 3), generator=generator).to(torch.uint8)
    audio = torch.randint(-9000, 9000, (batch_size, 16000), generator=generator).to(torch.int16)
    batch = Pairs(frames, audio, torch.arange(batch_size) % 2 == 0, torch.arange(batch_size))
    settings = TrainSettings.model_validate({"steps": 4, "batch_size": batch_size, "precision": precision})
    stepper = Stepper(
        build_model(ModelSettings(spectrogram=spectrogram), 0), settings, torch.device("cpu"), derange=derange_batch
    )
    stepper.calibrate(batch)
    stepper.step(batch)
    times = []
    for _ in range(3):
        began = time.process_time()
        stepper.step(batch)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Print a row for each size."""
    torch.set_num_threads(1)
    small = SpectrogramSettings(window=1024, hop=640, mel_bins=64)
    for frame_size, spectrogram, batch_size in ((64, small, 64), (224, SpectrogramSettings(), 8)):
        full, half = (step_seconds(name, frame_size, spectrogram, batch_size) for name in ("fp32", "bf16"))
        bins = spectrogram.mel_bins or spectrogram.window // 2 + 1
        name = f"{frame_size} pixels, {bins} bins every {spectrogram.hop} samples, {batch_size}"
        print(f"| {name} | {full:.2f} s | {half:.2f} s | {full / half:.2f} |", flush=True)


if __name__ == "__main__":
    main()
