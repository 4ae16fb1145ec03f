"""Read picture files as people see them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def read_picture(path: str | Path) -> Image.Image:
    """Return a picture as RGB, upright, what is transparent on white.

    Raises OSError, ValueError or Image.DecompressionBombError on what is none.
    """
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")
