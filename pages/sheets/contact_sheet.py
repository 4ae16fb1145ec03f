"""Contact sheets: one clip in lines like a score, or many clips, one in a row."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from avcorr.files import write_atomically
from avcorr.printable import printable
from avcorr.shards.format.clip import Clip

from ..palette import INK, PAPER, SOFT
from .strip import Style, draw_strip, font

MARGIN, GAP, HEAD = 20, 14, 58
CLIP = Style()
ROW = Style(width=1200, columns=8, wave=36, spectrum=44)
NAMES = 250
LONGEST_TEXT = 300
"""Characters of a line of text, before it is measured."""
LONGEST_LINES = 12
"""Lines of a clip at most; frames that do not fit are left out evenly."""


class Line(NamedTuple):
    """A strip, and which part of the sound it stands over."""

    picture: Image.Image
    start: float
    seconds: float


def clip_lines(clip: Clip, mark: float | None = None) -> list[Line]:
    """Draw all frames of a clip, ten in a line over their own seconds; of very many, evenly chosen ones."""
    times, count = clip.metadata.frame_times, clip.metadata.frame_count
    kept = np.unique(np.linspace(0, count - 1, min(count, LONGEST_LINES * CLIP.columns)).astype(int)).tolist()
    groups = [kept[first : first + CLIP.columns] for first in range(0, len(kept), CLIP.columns)]
    starts = [0.0, *(times[group[0]] for group in groups[1:])]
    ends = [*starts[1:], max(clip.metadata.duration, times[-1])]
    # All lines have one scale, that of the longest; a last line that is not full is shorter on paper, too.
    whole = ends[:-1] if len(groups) > 1 and len(groups[-1]) < CLIP.columns else ends
    seconds = max(end - start for start, end in zip(starts, whole, strict=False))
    seconds = max(seconds, ends[-1] - starts[-1], 1e-3)
    return [
        Line(
            draw_strip(clip, group, start, seconds, CLIP, mark if start <= (mark or 0.0) < end else None),
            start,
            seconds,
        )
        for group, start, end in zip(groups, starts, ends, strict=True)
    ]


def clip_sheet(clip: Clip) -> Image.Image:
    """Draw one clip: what it is, and all its frames over their sound."""
    lines = clip_lines(clip)
    height = HEAD + sum(line.picture.height + GAP for line in lines) + MARGIN
    sheet = Image.new("RGB", (CLIP.width + 2 * MARGIN, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    title, facts = describe(clip)
    draw.text((MARGIN, 10), _fit(draw, title, 20, CLIP.width), font=font(20), fill=INK)
    draw.text((MARGIN, 35), _fit(draw, facts, 13, CLIP.width), font=font(13), fill=SOFT)
    top = HEAD
    for line in lines:
        sheet.paste(line.picture, (MARGIN, top))
        top += line.picture.height + GAP
    return sheet


def clip_row(clip: Clip, mark: float | None = None) -> Line:
    """Draw a clip in one strip: eight frames, evenly chosen, over the whole of its sound."""
    count, end = clip.metadata.frame_count, max(clip.metadata.duration, clip.metadata.frame_times[-1])
    wanted = np.arange(ROW.columns) * end / ROW.columns  # the frame that is seen at the beginning of each column
    numbers = np.unique(np.searchsorted(clip.metadata.frame_times, wanted, side="left").clip(0, count - 1)).tolist()
    return Line(draw_strip(clip, numbers, 0.0, end, ROW, mark), 0.0, end)


def rows_sheet(
    clips: Sequence[Clip], title: str, marks: Sequence[float | None] = (), notes: Sequence[str] = ()
) -> Image.Image:
    """Draw many clips, one in a row; marks: a moment of each to be marked, seconds; notes: a line about each."""
    strips = [clip_row(clip, marks[index] if marks else None).picture for index, clip in enumerate(clips)]
    height = 48 + sum(strip.height + GAP for strip in strips) + MARGIN
    sheet = Image.new("RGB", (NAMES + ROW.width + 2 * MARGIN, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 12), _fit(draw, title, 18, NAMES + ROW.width), font=font(18), fill=INK)
    top = 48
    for index, (clip, strip) in enumerate(zip(clips, strips, strict=True)):
        lines = [clip.metadata.label or "no label", clip.key, *row_facts(clip)]
        if notes:
            lines.insert(1, notes[index])
        for number, text in enumerate(lines):
            size, colour = (15, INK) if number == 0 else (12, SOFT)
            draw.text((MARGIN, top + 22 * bool(number) + 17 * max(0, number - 1)), _fit(draw, text, size, NAMES - 10),
                      font=font(size), fill=colour)  # fmt: skip
        sheet.paste(strip, (MARGIN + NAMES, top))
        top += strip.height + GAP
    return sheet


def describe(clip: Clip) -> tuple[str, str]:
    """Return a clip's title and a line of facts."""
    known = clip.metadata
    label, video = printable(known.label, LONGEST_TEXT), printable(known.video, LONGEST_TEXT)
    title = f"{label or 'no label'}   {clip.key}"
    facts = [
        f"split {known.split}", f"{known.duration:.2f} s from {known.start:.2f} s of {video}",
        f"{known.frame_count} frames of {known.width} x {known.height}", f"{known.sample_rate} Hz",
        f"{known.loudness:.1f} dB", *known.flags,
    ]  # fmt: skip
    return title, " · ".join(facts)


def row_facts(clip: Clip) -> list[str]:
    """Return short lines about a clip."""
    known = clip.metadata
    lines = [f"{known.split}, {known.duration:.1f} s, {known.frame_count} frames", f"{known.loudness:.0f} dB"]
    return [*lines, ", ".join(known.flags)] if known.flags else lines


def write_picture(sheet: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    data = io.BytesIO()
    sheet.save(data, "PNG", optimize=True)
    write_atomically(path, data.getvalue())


def _fit(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> str:
    """Return a text as one line, shortened where it is wider than so many pixels."""
    text = printable(text, LONGEST_TEXT)
    while draw.textlength(text, font=font(size)) > width:
        text = text[:-2].rstrip("…") + "…"
    return text
