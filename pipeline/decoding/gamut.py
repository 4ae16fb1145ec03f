"""Map the colours of a video to those of a JPEG: sRGB, as BT.601's luma and chroma at full range (JFIF 1.02).

A source of the same gamut needs its own matrix and range undone, which `scale` does. One of a wider gamut or range
(BT.2020; PQ and HLG of BT.2100) goes through a table of colours besides, the same one in both decoders.
"""

import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Gamut = Literal["", "pq", "hlg", "bt2020"]
"""Which table a source needs; "" for none."""
HD_LINES = 720
"""Pictures of so many lines that do not say how their colours are coded have BT.709's matrix, smaller ones BT.601's."""
_GRID = 33
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
"""Luminance that becomes white's (BT.2408, 2.1), and the one above which all is white."""
_KNEE = 0.9
"""Up to this share of white nothing is changed; what is brighter is compressed."""
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Linear BT.2020 to linear BT.709 (BT.2087, 2.2)."""


def gamut_of(primaries: str, transfer: str) -> Gamut:
    """Return which table a source needs that declares these, by ffmpeg's names."""
    if transfer == "smpte2084":
        return "pq"
    if transfer == "arib-std-b67":
        return "hlg"
    return "bt2020" if primaries == "bt2020" else ""


def table_filter(gamut: Gamut, *, in_graph: bool) -> str:
    """Return the filter that maps RGB of 16 bits by a table.

    Args:
        gamut: which table.
        in_graph: whether it becomes part of the text of a graph, which is unescaped once more.
    """
    path = re.sub(r"([\\':])", r"\\\1", str(_table_path(gamut)))
    if in_graph:
        path = re.sub(r"([\\'\[\],;])", r"\\\1", path)
    return f"file={path}:interp=tetrahedral"


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="avcorr-colours-")  # gone when this process ends


@cache
def _table_path(gamut: Gamut) -> Path:
    """Write a table as a .cube file (Adobe's specification 1.0: red changes fastest) and return its path."""
    axis = np.linspace(0, 1, _GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    colours = map_to_srgb(np.stack([red, green, blue], axis=-1).reshape(-1, 3), gamut)
    path = Path(_folder().name) / f"{gamut}.cube"
    np.savetxt(path, colours, fmt="%.5f", header=f"LUT_3D_SIZE {_GRID}", comments="")
    return path


def map_to_srgb(colours: Array, gamut: Gamut) -> Array:
    """Return the sRGB colours of colours of a wider gamut.

    Args:
        colours: float[N, 3], red, green and blue as they are coded, in [0, 1].
        gamut: how.

    Returns:
        float[N, 3] in [0, 1].
    """
    linear = np.maximum(_LINEAR[gamut](colours) @ _TO_BT709.T, 0)
    brightest = linear.max(axis=1, keepdims=True)
    linear = linear * _compress(brightest) / np.maximum(brightest, 1e-9)
    srgb: Array = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    return srgb


def _compress(values: Array) -> Array:
    """Return values of at most 1: a hyperbola that leaves the knee with slope 1 and reaches 1 at the peak."""
    span, room = _PEAK_NITS / _WHITE_NITS - _KNEE, 1 - _KNEE
    over = np.clip(values - _KNEE, 0, span)
    scale = span * room / (span - room)
    return np.minimum(values, _KNEE) + over * scale / (over + scale)


def _from_pq(colours: Array) -> Array:
    """Return light as a share of white (SMPTE ST 2084, equation 4.1)."""
    root = np.maximum(colours, 0) ** (1 / 78.84375)
    light = (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    shares: Array = light * 10000 / _WHITE_NITS
    return shares


def _from_hlg(colours: Array) -> Array:
    """Return light as a share of white on a display of 1,000 nits (BT.2100, table 5)."""
    scene = np.where(colours <= 0.5, colours**2 / 3, (np.exp((colours - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    luma = scene @ np.array([0.2627, 0.6780, 0.0593])
    light: Array = scene * np.maximum(luma, 1e-9)[:, None] ** 0.2
    return light * _PEAK_NITS / _WHITE_NITS


def _from_bt2020(colours: Array) -> Array:
    """Return light as a share of white on a display (BT.1886 without black's light)."""
    return np.maximum(colours, 0) ** 2.4


_LINEAR: dict[str, Callable[[Array], Array]] = {"pq": _from_pq, "hlg": _from_hlg, "bt2020": _from_bt2020}
