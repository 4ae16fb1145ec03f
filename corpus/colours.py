"""Colours by hue, and lighter and darker ones of the same hue; RGB in 0..255."""

import colorsys

import numpy as np
from numpy.typing import ArrayLike


def hue(degrees: float, saturation: float = 0.6, value: float = 0.8) -> np.ndarray:
    """Return a colour: hue in degrees (0 red, 120 green, 240 blue), saturation and value 0..1."""
    return 255 * np.array(colorsys.hsv_to_rgb(degrees / 360 % 1, min(1, max(0, saturation)), min(1, max(0, value))))


def mix(first: ArrayLike, second: ArrayLike, share: float) -> np.ndarray:
    """Return a colour between two: `share` 0 is the first, 1 the second."""
    return np.asarray(first) * (1 - share) + np.asarray(second, float) * share


def light(colour: np.ndarray, share: float = 0.35) -> np.ndarray:
    """Return a lighter colour."""
    return mix(colour, (255, 255, 255), share)


def dark(colour: np.ndarray, share: float = 0.4) -> np.ndarray:
    """Return a darker colour, a little towards blue as shadows are."""
    return mix(colour, (8, 8, 22), share)


def rounded(colour: np.ndarray, contrast: float = 0.5) -> np.ndarray:
    """Return the stops of a gradient that makes a thing look like a cylinder lit from the upper left."""
    tones = (dark(colour, 0.5 * contrast), light(colour, 0.55 * contrast), colour, dark(colour, contrast))
    return np.stack([*tones, dark(colour, 0.8 * contrast)])
