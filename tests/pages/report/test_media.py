"""Pictures, sounds and heat maps as the report holds them."""

import base64
import io
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from avcorr.model.errors import EvaluationError
from avcorr.pages.inlining import POINT_SIDE, TILE_SIDE, read_media
from avcorr.pages.report.overlay import located, overlay
from tests.support.odd_files import put


def decode(url: str) -> tuple[str, io.BytesIO]:
    head, body = url.split(",")
    return head, io.BytesIO(base64.b64decode(body))


def write_view(folder: Path, number: int, size: tuple[int, int], rate: int) -> np.ndarray:
    generator = np.random.default_rng(number)
    coarse = generator.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=95)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate) + 0.01 * generator.normal(size=rate)
    soundfile.write(folder / f"{number}.wav", tone, rate, subtype="PCM_16")
    return tone


def test_pictures_and_sounds_are_made_small_and_stay_what_they_are(tmp_path: Path) -> None:
    tone = write_view(tmp_path, 0, (800, 600), 16000)
    write_view(tmp_path, 1, (800, 600), 16000)
    write_view(tmp_path, 2, (100, 80), 5000)
    media = read_media(tmp_path, tiles={0, 2}, points={0, 1, 7})
    assert [(p.width, p.height) for p in media.pictures.values()] == [
        (round(TILE_SIDE * 4 / 3), TILE_SIDE),
        (round(POINT_SIDE * 4 / 3), POINT_SIDE),
        (100, 80),
    ]
    assert list(media.sounds) == [0, 1, 2]  # 7 is not there
    kind, data = decode(media.sounds[0])
    assert kind == "data:audio/mpeg;base64" and len(data.getvalue()) < 8000
    heard, rate = soundfile.read(data)
    assert rate == 16000 and len(heard) == 16000
    assert np.corrcoef(heard, tone)[0, 1] > 0.99
    kind, data = decode(media.sounds[2])  # MP3 has no such rate
    assert kind == "data:audio/wav;base64" and data.getvalue() == (tmp_path / "2.wav").read_bytes()
    assert decode(media.pictures[2].url)[1].getvalue() == (tmp_path / "2.jpg").read_bytes()


@pytest.mark.parametrize("name", ["0.jpg", "0.wav"])
def test_what_is_no_picture_or_sound_is_named(tmp_path: Path, name: str) -> None:
    write_view(tmp_path, 0, (100, 80), 8000)
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(EvaluationError, match=rf"{name} cannot be read as a .*evaluate again"):
        read_media(tmp_path, {0}, set())


def png_of(width: int, height: int) -> bytes:
    """Return the header of a PNG that claims a size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def jpeg_of(width: int, height: int) -> bytes:
    """Return a small JPEG that claims another size."""
    data = io.BytesIO()
    Image.new("RGB", (64, 48)).save(data, "JPEG")
    return data.getvalue().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", height, width), 1)


@pytest.mark.parametrize(
    "forged", [png_of(60_000, 60_000), png_of(64, 48), jpeg_of(65_500, 65_500), jpeg_of(13_000, 13_000), "pipe", "zero"]
)
@pytest.mark.parametrize("name", ["0.jpg", "0.crop.jpg"])
def test_a_picture_is_judged_by_its_header(tmp_path: Path, name: str, forged: bytes | str) -> None:
    path = tmp_path / name
    put(path, forged)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(EvaluationError, match=rf"{name} cannot be read as a picture .*evaluate again"):
        if name == "0.jpg":
            read_media(tmp_path, {0}, set())
        else:
            located([{"frame": {"media": 0}}], tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("forged", ["flac", "pipe", "empty"])
def test_a_sound_is_a_short_wav(tmp_path: Path, forged: str) -> None:
    path = tmp_path / "0.wav"
    if forged == "flac":
        soundfile.write(path, np.zeros(16000), 16000, format="FLAC")
    elif forged == "pipe":
        put(path, forged)
    else:
        soundfile.write(path, np.zeros(0), 16000, format="WAV")
    with pytest.raises(EvaluationError, match=r"0.wav cannot be read as a sound .*evaluate again"):
        read_media(tmp_path, {0}, set())


def test_heat_lies_where_the_probability_is(tmp_path: Path) -> None:
    places = np.zeros((4, 4))
    places[0, 3] = 1.0
    frame = Image.new("RGB", (200, 200), (128, 128, 128))
    picture = np.asarray(Image.open(decode(overlay(frame, places).url)[1]), np.float64)
    right, left = picture[5:40, 165:195].mean(axis=(0, 1)), picture[160:195, 5:40].mean(axis=(0, 1))
    assert right[0] > 180 and right[2] < 170  # yellow
    assert left[0] < 90 and left[2] > left[0]  # dark blue
    rows = [{"frame": {"media": 3}, "own": {"places": places}, "other": {"places": 0 * places}}]
    assert located(rows, tmp_path) == [] == located(None, tmp_path)
    frame.save(tmp_path / "3.crop.jpg")
    assert set(located(rows, tmp_path)[0]["pictures"]) == {"plain", "own", "other"}
