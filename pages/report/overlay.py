"""Heat maps over frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .inlining import TILE_SIDE, Picture, as_jpeg

HEAT = np.array([(20, 24, 82), (104, 33, 122), (204, 60, 92), (251, 140, 50), (252, 240, 160)], np.float64)
"""Colours of the probabilities 0, 1/4, 1/2, 3/4 and 1."""
SHARE = 0.6  # of the colour in the picture


def located(rows: Sequence[Mapping[str, Any]] | None, folder: Path) -> list[dict[str, Any]]:
    """Lay out heat_maps.json: each row with the plain picture of what the model sees, and the heat of either sound.

    Rows whose picture N.crop.jpg is missing are left out.
    """
    found = []
    for row in rows or []:
        path = folder / f"{row['frame']['media']}.crop.jpg"
        if not path.exists():
            continue
        with Image.open(path) as image:
            side = max(TILE_SIDE, *image.size)
            plain = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        pictures = {"plain": as_jpeg(plain)}
        pictures |= {name: overlay(plain, np.array(row[name]["places"], np.float64)) for name in ("own", "other")}
        found.append({**row, "pictures": pictures})
    return found


def overlay(frame: Image.Image, places: np.ndarray) -> Picture:
    """Lay probabilities (H', W') from 0 to 1 over a picture, as colours that go over into each other."""
    heat = Image.fromarray(places.astype(np.float32)).resize(frame.size, Image.Resampling.BICUBIC)
    values = np.clip(np.asarray(heat, np.float64), 0, 1)
    levels = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(values, levels, HEAT[:, part]) for part in range(3)], axis=2)
    grey = np.asarray(frame.convert("L"), np.float64)[:, :, None]
    return as_jpeg(Image.fromarray((SHARE * colours + (1 - SHARE) * grey).round().astype(np.uint8)))
