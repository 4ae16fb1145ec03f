"""Read sound files at a model's rate."""

from math import gcd
from pathlib import Path

import numpy as np

from avcorr.files import open_file

from ..errors import ModelError

MOST_SAMPLES = 1 << 28
"""Of all channels, as the file has them and at the model's rate: 4.6 hours at 16 kHz, 1 GB."""


def read_sound(path: str | Path, rate: int) -> np.ndarray:
    """Return a sound as float32 (N,) in [-1, 1], channels averaged, at `rate` Hz. Raises ModelError on what is none."""
    import soundfile

    try:
        with open_file(path), soundfile.SoundFile(path) as file:  # no pipe or device, which would be waited for
            found = file.samplerate
            if max(file.frames * file.channels, file.frames * rate // max(found, 1)) > MOST_SAMPLES:
                raise OSError(f"it says that it has {file.frames} samples; at most {MOST_SAMPLES} are read")
            channels = file.read(dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be read as a sound: {error}") from error
    return resample(channels.mean(axis=1), found, rate)


def resample(wave: np.ndarray, found: int, rate: int) -> np.ndarray:
    """Return a wave (N,) of `found` Hz at `rate` Hz, float32."""
    if found == rate:
        return wave.astype(np.float32, copy=False)
    from scipy.signal import resample_poly

    divisor = gcd(found, rate)
    resampled: np.ndarray = resample_poly(wave, rate // divisor, found // divisor).astype(np.float32)
    return resampled
