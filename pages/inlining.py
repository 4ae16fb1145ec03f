"""Pictures and sounds inside a page, small enough for it."""

import base64
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, UnidentifiedImageError

from avcorr.model.errors import EvaluationError

TILE_SIDE = 200
"""Shorter side of a picture that is shown at the size of a tile, pixels."""
POINT_SIDE = 112
"""Shorter side of one that is shown only beside the pointer, pixels."""
QUALITY = 80
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MP3_LEVEL = 0.5  # of a variable rate: about 4 kB for a second, a seventh of the samples


@dataclass(frozen=True)
class Picture:
    """A picture as the page holds it."""

    url: str
    width: int
    height: int


@dataclass(frozen=True)
class InlineMedia:
    """All pictures and sounds of a report, each once, by the number that items name as "media"."""

    pictures: dict[int, Picture]
    sounds: dict[int, str]
    """Data URLs."""


def read_media(folder: Path, tiles: Collection[int], points: Collection[int]) -> InlineMedia:
    """Read and shrink the media of a folder: N.jpg and N.wav for each number, where they are there.

    tiles, points: numbers shown at either size. Raises EvaluationError when a file is no picture or no sound.
    """
    pictures: dict[int, Picture] = {}
    sounds: dict[int, str] = {}
    for number in sorted({*tiles, *points}):
        picture, sound = folder / f"{number}.jpg", folder / f"{number}.wav"
        if picture.exists():
            pictures[number] = shrink(picture, TILE_SIDE if number in tiles else POINT_SIDE)
        if sound.exists():
            sounds[number] = _compress(sound)
    return InlineMedia(pictures, sounds)


def shrink(path: Path, side: int) -> Picture:
    """Return a picture whose shorter side is at most `side` pixels."""
    try:
        with Image.open(path) as image:
            image.load()
            scale = side / min(image.size)
            if scale >= 1:
                return Picture(data_url("image/jpeg", path.read_bytes()), *image.size)
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            return as_jpeg(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    except (OSError, UnidentifiedImageError) as error:
        raise EvaluationError(f"{path} cannot be read as a picture ({error}); evaluate again") from error


def as_jpeg(image: Image.Image, quality: int = QUALITY, subsampling: int = -1) -> Picture:
    """Return an image as a page holds it; subsampling 0 keeps colours as sharp as brightness."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    return Picture(data_url("image/jpeg", data.getvalue()), *image.size)


def data_url(kind: str, data: bytes) -> str:
    """Return data as a URL of its own."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _compress(path: Path) -> str:
    """Return a sound as MP3, which every browser plays, or as it is where its rate is none of MP3's."""
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise EvaluationError(f"{path} cannot be read as a sound ({error}); evaluate again") from error
    settings: dict[str, Any] = {"compression_level": MP3_LEVEL, "bitrate_mode": "VARIABLE"}
    if rate not in MP3_RATES or "MP3" not in soundfile.available_formats():  # a libsndfile before 1.1 has none
        return data_url("audio/wav", path.read_bytes())
    data = io.BytesIO()
    soundfile.write(data, np.clip(samples, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III", **settings)
    return data_url("audio/mpeg", data.getvalue())
