"""Heat maps over frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..inlining import TILE_SIDE, Picture, as_jpeg, open_picture
from ..palette import heat

SHARE = 0.6  # of the colour in the picture
MOST_SIDE = 1024  # of a picture, pixels: that of the largest frame which a model sees


def located(rows: Sequence[Mapping[str, Any]] | None, folder: Path) -> list[dict[str, Any]]:
    """Lay out heat_maps.json: each row with the plain picture of what the model sees, and the heat of either sound.

    Rows whose picture N.crop.jpg is missing are left out.
    """
    found = []
    for row in rows or []:
        path = folder / f"{row['frame']['media']}.crop.jpg"
        if not path.exists():
            continue
        image, _ = open_picture(path)
        side = max(TILE_SIDE, min(MOST_SIDE, *image.size))
        plain = image.resize((side, side), Image.Resampling.BICUBIC)
        pictures = {"plain": as_jpeg(plain)}
        pictures |= {name: overlay(plain, np.array(row[name]["places"], np.float64)) for name in ("own", "other")}
        found.append({**row, "pictures": pictures})
    return found


def overlay(frame: Image.Image, places: np.ndarray) -> Picture:
    """Lay probabilities (H', W') from 0 to 1 over a picture, as colours that go over into each other."""
    fine = Image.fromarray(places.astype(np.float32)).resize(frame.size, Image.Resampling.BICUBIC)
    colours = heat(np.asarray(fine, np.float64))
    grey = np.asarray(frame.convert("L"), np.float64)[:, :, None]
    return as_jpeg(Image.fromarray((SHARE * colours + (1 - SHARE) * grey).round().astype(np.uint8)))
