"""Read picture files as people see them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from avcorr.files import open_file

MOST_PIXELS, MOST_RATIO = 1 << 26, 100
"""Of a picture: 67 million pixels, 200 MB; and how much longer than short it may be."""
_PROGRAMS = {"EPS"}
"""What is not a picture but a program, for which Pillow starts another."""


def read_picture(path: str | Path) -> Image.Image:
    """Return a picture as RGB, upright, what is transparent on white.

    Raises OSError, ValueError or Image.DecompressionBombError on what is none.
    """
    Image.init()
    with open_file(path) as file:
        picture: Image.Image = Image.open(file, formats=sorted(Image.OPEN.keys() - _PROGRAMS))
        width, height = picture.size
        if width * height > MOST_PIXELS or max(width, height) > MOST_RATIO * min(width, height):
            text = f"it says that it has {width} x {height} pixels; at most {MOST_PIXELS} are read, {MOST_RATIO} to 1"
            raise ValueError(text)
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")
