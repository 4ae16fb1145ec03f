"""A strip: frames with their times over the waveform and the spectrogram of the same seconds.

+------+------+------+------+   columns of one width, in the order of their times
| 0.00 | 0.25 | 0.50 | 0.75 |
+------+------+------+------+
|      |       \\     |          a line from each frame to its moment
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~   waveform
#############################   spectrogram
0        0.5         1.0    s
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avcorr.pipeline.errors import PipelineError
from avcorr.shards.format.clip import Clip

from ..palette import AXIS, INK, MARK, PAPER, SOFT
from ..soundplot import spectrogram, waveform

CONNECT, RULER = 9, 18
"""Heights of the lines between frames and sound, and of the time scale, pixels."""
TALLEST = 4
"""Times as high as wide that a frame is drawn at most."""
STEPS = (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class SheetError(PipelineError):
    """A clip that cannot be drawn."""


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels."""

    width: int = 1600
    columns: int = 10
    """Frames side by side."""
    wave: int = 64
    spectrum: int = 120


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that Pillow brings along."""
    return ImageFont.load_default(size)


def wave_of(clip: Clip) -> NDArray[np.float32]:
    """Return the sound (N,) in [-1, 1]."""
    return np.frombuffer(clip.samples(0, clip.metadata.sample_count), "<i2").astype(np.float32) / np.float32(32768)


def draw_strip(
    clip: Clip, frames: Sequence[int], start: float, seconds: float, style: Style, mark: float | None = None
) -> Image.Image:
    """Draw frames over the seconds [start, start + seconds) of the sound; what lies behind its end is left blank.

    Args:
        frames: numbers of frames of the clip, at most `style.columns`, ascending.
        mark: a moment to mark across the sound, seconds.

    Raises:
        SheetError: when a frame is no JPEG.
    """
    metadata, column = clip.metadata, style.width / style.columns
    tall = round(column * min(max(metadata.height / metadata.width, 0.1), TALLEST))
    sheet = Image.new("RGB", (style.width, tall + CONNECT + style.wave + style.spectrum + RULER), PAPER)
    draw = ImageDraw.Draw(sheet)
    sound_top, bottom = tall + CONNECT, tall + CONNECT + style.wave + style.spectrum

    def across(time: float) -> int:
        return round((time - start) / seconds * style.width)

    covered = min(style.width, max(1, across(metadata.duration)))
    rate = metadata.sample_rate
    whole = wave_of(clip)
    wave = whole[round(start * rate) : round(min(start + seconds, metadata.duration) * rate)]
    loudest = max(float(np.abs(whole).max(initial=0.0)), 0.01)  # as high as the strip; near-silence stays flat
    sheet.paste(Image.fromarray(waveform(wave / loudest, covered, style.wave)), (0, sound_top))
    sheet.paste(Image.fromarray(spectrogram(wave, rate, covered, style.spectrum)), (0, sound_top + style.wave))
    for index, number in enumerate(frames):
        left, time = round(index * column), metadata.frame_times[number]
        width = round((index + 1) * column) - left - 2
        picture = _frame(clip, number).resize((width, tall - 2), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, 0))
        moment = min(max(across(time), 0), style.width - 1)
        line = [(left, tall - 2), (left, tall), (moment, sound_top - 2), (moment, sound_top + 5)]
        draw.line(line, fill=MARK, width=2)
        _caption(draw, (left + 3, tall - 20), f"{time:.2f}")
    if mark is not None:
        draw.line([(across(mark), sound_top), (across(mark), bottom)], fill=MARK, width=2)
    _ruler(draw, start, seconds, style.width, bottom)
    return sheet


def _frame(clip: Clip, number: int) -> Image.Image:
    try:
        return Image.fromarray(simplejpeg.decode_jpeg(bytes(clip.frame(number)), "RGB"))
    except ValueError as error:
        raise SheetError(
            f"frame {number} of {clip.key} cannot be drawn ({error}); avcorr verify --full says what else is wrong"
        ) from error


def _caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    """Write on a dark ground, to be read over any picture."""
    left, top, right, low = draw.textbbox(corner, text, font=font(13))
    draw.rectangle((left - 3, top - 2, right + 3, low + 2), fill=INK)
    draw.text(corner, text, font=font(13), fill=PAPER)


def _ruler(draw: ImageDraw.ImageDraw, start: float, seconds: float, width: int, top: int) -> None:
    """Draw the time scale: a number every 80 pixels or so."""
    step = next((step for step in STEPS if step * width / seconds >= 80), STEPS[-1])
    for number in range(int(np.ceil(start / step - 1e-9)), int((start + seconds) / step + 1e-9) + 1):
        x = round((number * step - start) / seconds * width)
        draw.line([(x, top), (x, top + 4)], fill=SOFT)
        text = f"{number * step:g}" + (" s" if number == 0 else "")
        if x + draw.textlength(text, font=font(11)) + 3 < width:
            draw.text((x + 3, top + 1), text, font=font(11), fill=SOFT)
    draw.line([(0, top), (width, top)], fill=AXIS)
