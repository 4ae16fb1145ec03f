"""Waveform and spectrogram as pictures."""

import numpy as np
from numpy.typing import NDArray

from .palette import AXIS, PAPER, WAVE, heat

FLOOR_DB = -80.0
WINDOW = 512
FINE = 5
"""Frequencies looked at for each row, so that none is stepped over where a row spans several bins of the spectrum."""
Picture = NDArray[np.uint8]


def waveform(wave: NDArray[np.float32], width: int, height: int) -> Picture:
    """Return (height, width, 3): from the least to the largest sample of each column; 1 fills the height.

    wave: (N,) in [-1, 1]; fewer samples than columns repeat.
    """
    picture = np.full((height, width, 3), PAPER, np.uint8)
    middle = (height - 1) / 2
    picture[round(middle)] = AXIS
    if len(wave):
        edges = np.linspace(0, len(wave), width + 1).astype(int)
        starts = np.minimum(edges[:-1], len(wave) - 1)
        low, high = np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts)
        rows = np.arange(height)[:, None]
        top, bottom = np.floor(middle - high * middle), np.ceil(middle - low * middle)
        picture[(rows >= top) & (rows <= bottom)] = WAVE
    return picture


def spectrogram(wave: NDArray[np.float32], rate: int, width: int, height: int) -> Picture:
    """Return (height, width, 3): decibels below a full-scale tone, low tones at the bottom, on the mel scale.

    wave: (N,) in [-1, 1], of `rate` Hz. Mels are 2595 log10(1 + f / 700).
    """
    padded = np.pad(wave, (WINDOW // 2, WINDOW))
    starts = (np.arange(width) * len(wave) / width).astype(int)
    pieces = padded[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(pieces, axis=1)) * 4 / WINDOW  # a full-scale tone gives 1
    decibels = 20 * np.log10(np.maximum(power, 1e-9)).T
    rows = (np.arange(height * FINE)[::-1] + 0.5) / FINE
    hertz = 700 * ((1 + rate / 2 / 700) ** (rows / height) - 1)
    bins = hertz * WINDOW / rate
    low = np.minimum(bins.astype(int), len(decibels) - 2)
    share = (bins - low)[:, None]
    shown = ((1 - share) * decibels[low] + share * decibels[low + 1]).reshape(height, FINE, width).max(axis=1)
    return heat(1 - shown / FLOOR_DB).astype(np.uint8)
