"""Colours of pictures, RGB: those that base.css gives the pages when they are light."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LIGHT = (Path(__file__).parent / "base.css").read_text(encoding="utf-8").partition("@media")[0]
_NAMED = {name: tuple(bytes.fromhex(digits)) for name, digits in re.findall(r"--([a-z-]+): #(\w{6});", _LIGHT)}
PAPER, INK, SOFT, AXIS = _NAMED["ground"], _NAMED["ink"], _NAMED["soft"], _NAMED["line"]
WAVE, MARK = _NAMED["accent"], _NAMED["mark"]
HEAT = np.array(re.findall(r"rgb\((\d+) (\d+) (\d+)\)", _LIGHT), np.float64)
"""(7, 3), from 0 to 1 in steps that look equally large: spectrograms and heat maps."""


def heat(shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the colours (..., 3) of numbers in [0, 1]; others get the nearest end's."""
    levels = np.linspace(0, 1, len(HEAT))
    return np.stack([np.interp(shares, levels, HEAT[:, channel]) for channel in range(3)], axis=-1)
