"""Pictures that people ask with, as phones, browsers and programs for drawing write them."""

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avcorr.pipeline.decoding.ffmpeg import Ffmpeg
from avcorr.pipeline.decoding.media import read_media
from avcorr.pipeline.errors import MediaError
from avcorr.pipeline.settings import ShardSettings
from tests.support.heic import Heic, turned

SIZE = (1100, 700)  # three tiles across, two down


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Blocks of colours, no two of them alike."""
    blocks = np.random.default_rng(1).integers(0, 256, (7, 11, 3)).astype(np.uint8)
    return Image.fromarray(blocks.repeat(100, 0).repeat(100, 1))


def distance(path: Path, ffmpeg: str, expected: Image.Image) -> float:
    """Return by how many grey levels, in the mean, what is read of a file differs from a picture."""
    media = read_media(path, ShardSettings(short_side=140, jpeg_quality=2), Ffmpeg(ffmpeg))
    assert (media.kind, len(media.jpegs), media.pcm) == ("picture", 1, b"")
    found = Image.open(io.BytesIO(media.jpegs[0]))
    small = expected.convert("RGB").resize((expected.width // 5, expected.height // 5), Image.Resampling.BOX)
    assert found.size == small.size
    return float(np.abs(np.asarray(found).astype(int) - np.asarray(small)).mean())


@pytest.mark.parametrize("quarters", [0, 1, 3])
def test_a_phones_picture_is_whole_and_upright(
    tmp_path: Path, ffmpeg: str, picture: Image.Image, quarters: int
) -> None:  # fmt: skip
    """A grid of tiles of 512 pixels, with a thumbnail, as an iPhone writes it."""
    heic, turn = Heic(ffmpeg), (turned(quarters),) if quarters else ()
    main = heic.add_grid(picture, 512, *turn)
    thumbnail = heic.add_picture(picture.resize((220, 140)), *turn)
    (tmp_path / "IMG_0001.HEIC").write_bytes(heic.file(main, thumbnail))
    (tmp_path / "without.heic").write_bytes(heic.file(main))
    for name in ("IMG_0001.HEIC", "without.heic"):
        assert distance(tmp_path / name, ffmpeg, picture.rotate(90 * quarters, expand=True)) < 6


def test_a_heic_of_one_piece(tmp_path: Path, ffmpeg: str, picture: Image.Image) -> None:
    heic = Heic(ffmpeg)
    main, thumbnail = heic.add_picture(picture, turned(1)), heic.add_picture(picture.resize((220, 140)), turned(1))
    (tmp_path / "one.heic").write_bytes(heic.file(main, thumbnail))
    assert distance(tmp_path / "one.heic", ffmpeg, picture.rotate(90, expand=True)) < 6


def test_a_damaged_heic_is_refused(tmp_path: Path, ffmpeg: str, picture: Image.Image) -> None:
    """A tile that is lost is no reason to answer with another. ffmpeg 9 dies of one that it cannot decode."""
    heic = Heic(ffmpeg)
    whole = heic.file(heic.add_grid(picture, 512))
    tile = whole.index(b"mdat") + 4
    damaged = {"cut.heic": whole[:900], "head.heic": whole[:40], "end.heic": whole[:-300],
               "tile.heic": whole[:tile] + bytes(8) + whole[tile + 8 :]}  # fmt: skip
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match=rf"{name} cannot be read as a picture.*: the picture is damaged") as error:
            distance(tmp_path / name, ffmpeg, picture)
        assert error.value.code == "undecodable"
        assert (error.value.exit_code < 0) == (name == "tile.heic")


def test_avif(tmp_path: Path, ffmpeg: str, picture: Image.Image) -> None:
    picture.save(tmp_path / "picture.png")
    words = [ffmpeg, "-v", "error", "-i", tmp_path / "picture.png", "-c:v", "libaom-av1", "-still-picture", "1",
             "-cpu-used", "8", "-crf", "10", "-pix_fmt", "yuv420p", tmp_path / "still.avif"]  # fmt: skip
    subprocess.run(list(map(str, words)), check=True)
    exif = Image.Exif()
    exif[0x112] = 6
    picture.save(tmp_path / "turned.avif", exif=exif, quality=90)
    other = picture.rotate(180)
    picture.save(tmp_path / "moving.avif", save_all=True, append_images=[other], quality=90)
    for name, expected in (("still", picture), ("turned", picture.rotate(-90, expand=True)), ("moving", picture)):
        assert distance(tmp_path / f"{name}.avif", ffmpeg, expected) < 6


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_of_an_animation_the_first_picture_is_taken(
    tmp_path: Path, ffmpeg: str, picture: Image.Image, kind: str
) -> None:  # fmt: skip
    picture.save(tmp_path / f"moving.{kind}", save_all=True, append_images=[picture.rotate(180)], duration=500)
    assert distance(tmp_path / f"moving.{kind}", ffmpeg, picture) < 10


@pytest.mark.parametrize("name", ["rgba.png", "rgba.webp", "rgba.tiff", "palette.png", "palette.gif", "grey.png"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, ffmpeg: str, picture: Image.Image, name: str) -> None:
    """Whatever colour the file has below: programs write black, or what was painted there before."""
    upper = picture.convert("L" if name.startswith("grey") else "RGB")
    if name.startswith("palette"):
        upper = picture.quantize(256)
        hole = upper.getpixel((0, 0))
        alpha = Image.fromarray(np.where(np.asarray(upper) == hole, 0, 255).astype(np.uint8))
        upper.save(tmp_path / name, transparency=hole)
    else:
        alpha = Image.new("L", SIZE, 255)
        alpha.paste(0, (0, 0, 500, 700))
        upper.putalpha(alpha)
        upper.save(tmp_path / name)
    expected = Image.composite(upper.convert("RGB"), Image.new("RGB", SIZE, "white"), alpha)
    assert distance(tmp_path / name, ffmpeg, expected) < 10


def test_pictures_of_print_and_of_science(tmp_path: Path, ffmpeg: str, picture: Image.Image) -> None:
    grey = picture.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    deep.save(tmp_path / "deep.tiff")
    picture.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    picture.convert("CMYK").save(tmp_path / "print.tiff")
    picture.convert("1").save(tmp_path / "lines.png")
    expected = {"deep": grey, "print": picture, "lines": picture.convert("1")}
    for name in ("deep.png", "deep.tiff", "print.jpg", "print.tiff", "lines.png"):
        assert distance(tmp_path / name, ffmpeg, expected[name.partition(".")[0]]) < 10, name
    picture.convert("LAB").save(tmp_path / "lab.tiff")
    with pytest.raises(MediaError, match=r"of a kind that is not read \(save it as JPEG or PNG\)"):
        distance(tmp_path / "lab.tiff", ffmpeg, picture)
