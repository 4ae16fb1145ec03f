"""Read sound files at a model's rate."""

from math import gcd
from pathlib import Path

import numpy as np

from ..errors import ModelError


def read_sound(path: str | Path, rate: int) -> np.ndarray:
    """Return a sound as float32 (N,) in [-1, 1], channels averaged, at `rate` Hz. Raises ModelError on what is none."""
    import soundfile

    try:
        channels, found = soundfile.read(path, dtype="float32", always_2d=True)
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
