"""Contact sheets as one self-contained HTML page: strips to look at, sounds to play, a line where the sound is."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from avcorr.shards.format.clip import Clip
from avcorr.shards.index.layout import write_atomically

from .contact_sheet import Line, clip_lines, clip_row, describe
from .strip import wave_of

QUALITY = 88


def write_page(
    clips: Sequence[Clip], path: Path, title: str, marks: Sequence[float | None] = (), notes: Sequence[str] = ()
) -> None:
    """Write a page of clips, whole or not at all: one clip with all of its frames, several with a strip each.

    Args:
        clips: in their order.
        path: of the page.
        title: stands above, unless there is one clip alone.
        marks: a moment of each to be marked, seconds.
        notes: a line about each.
    """
    one = len(clips) == 1
    rows = []
    for place, clip in enumerate(clips):
        mark = marks[place] if marks else None
        lines = clip_lines(clip, mark=mark) if one else [clip_row(clip, mark)]
        heading, facts = describe(clip)
        rows.append({
            "title": heading, "facts": facts, "note": notes[place] if notes else "", "key": clip.key,
            "lines": [_line(clip, line) for line in lines], "sound": sound_of(clip),
        })  # fmt: skip
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("sheet.html.jinja").render(title=title, rows=rows)
    write_atomically(path, page.encode())


def _line(clip: Clip, line: Line) -> dict[str, Any]:
    data = io.BytesIO()
    line.picture.save(data, "JPEG", quality=QUALITY, subsampling=0)
    text = f"Frames of {clip.key} over waveform and spectrogram, from {line.start:.2f} s on"
    return {
        "picture": base64.b64encode(data.getvalue()).decode(), "width": line.picture.width,
        "height": line.picture.height, "start": line.start, "seconds": line.seconds, "text": text,
    }  # fmt: skip


def sound_of(clip: Clip) -> str:
    """Return the sound as base64 of FLAC, about half of the WAV and the same samples."""
    data = io.BytesIO()
    soundfile.write(data, wave_of(clip), clip.metadata.sample_rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(data.getvalue()).decode()
