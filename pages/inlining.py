"""Pictures and sounds inside a page, small enough for it."""

import base64
import io
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from avcorr.files import read_file
from avcorr.model.errors import EvaluationError
from avcorr.shards.format.jpeg import MOST_PIXELS

TILE_SIDE = 200
"""Shorter side of a picture that is shown at the size of a tile, pixels."""
POINT_SIDE = 112
"""Shorter side of one that is shown only beside the pointer, pixels."""
QUALITY = 80
MOST_BYTES = 1 << 25
"""Of the file of a picture or of a sound, and samples of the sound."""
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
    image, data = open_picture(path)
    scale = side / min(image.size)
    if scale >= 1:
        return Picture(data_url("image/jpeg", data), *image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return as_jpeg(image.resize(size, Image.Resampling.LANCZOS))


def open_picture(path: Path) -> tuple[Image.Image, bytes]:
    """Return the RGB picture of a JPEG, and its bytes; what its header claims is judged before anything is decoded.

    Raises EvaluationError when it is none, or has more than MOST_PIXELS.
    """
    try:
        data = read_file(path, MOST_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if image.width * image.height > MOST_PIXELS:
            raise OSError(f"it claims {image.width} x {image.height} pixels; at most {MOST_PIXELS} are shown")
        return image.convert("RGB"), data
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
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
        data = read_file(path, MOST_BYTES)
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format != "WAV" or file.frames * file.channels > MOST_BYTES or not file.frames:
                raise OSError(f"it is {file.format} of {file.frames} samples")
            samples, rate = file.read(dtype="float32"), file.samplerate
    except (OSError, soundfile.SoundFileError) as error:
        raise EvaluationError(f"{path} cannot be read as a sound ({error}); evaluate again") from error
    settings: dict[str, Any] = {"compression_level": MP3_LEVEL, "bitrate_mode": "VARIABLE"}
    if rate not in MP3_RATES or "MP3" not in soundfile.available_formats():  # a libsndfile before 1.1 has none
        return data_url("audio/wav", data)
    encoded = io.BytesIO()
    soundfile.write(encoded, np.clip(samples, -1, 1), rate, format="MP3", subtype="MPEG_LAYER_III", **settings)
    return data_url("audio/mpeg", encoded.getvalue())
