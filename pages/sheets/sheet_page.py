"""Contact sheets as one self-contained HTML page: strips to look at, sounds to play, a line where the sound is."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile

from avcorr.files import write_atomically
from avcorr.shards.format.clip import Clip

from ..inlining import as_jpeg, data_url
from ..templates import environment
from .contact_sheet import Line, clip_lines, clip_row, describe
from .strip import wave_of

QUALITY = 88


def write_page(
    clips: Sequence[Clip], path: Path, title: str, marks: Sequence[float | None] = (), notes: Sequence[str] = ()
) -> None:
    """Write a page of clips, whole or not at all: one clip with all of its frames, several with a strip each.

    title: stands above, unless there is one clip alone. marks, notes: as of `contact_sheet.rows_sheet`.
    """
    one = len(clips) == 1
    rows = []
    for index, clip in enumerate(clips):
        mark = marks[index] if marks else None
        lines = clip_lines(clip, mark) if one else [clip_row(clip, mark)]
        heading, facts = describe(clip)
        rows.append({
            "title": heading, "facts": facts, "note": notes[index] if notes else "", "key": clip.key,
            "lines": [_line(clip, line) for line in lines], "sound": sound_of(clip),
        })  # fmt: skip
    page = environment("sheets").get_template("sheet.html.jinja").render(title=title, rows=rows)
    write_atomically(path, page.encode())


def _line(clip: Clip, line: Line) -> dict[str, Any]:
    text = f"Frames of {clip.key} over waveform and spectrogram, from {line.start:.2f} s on"
    picture = as_jpeg(line.picture, QUALITY, subsampling=0)
    return {"picture": picture, "start": line.start, "seconds": line.seconds, "text": text}


def sound_of(clip: Clip) -> str:
    """Return the sound as a URL of FLAC, about half of the WAV and the same samples."""
    data = io.BytesIO()
    try:
        soundfile.write(data, wave_of(clip), clip.metadata.sample_rate, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError:  # a rate that FLAC does not know
        return data_url("audio/wav", clip.wav)
    return data_url("audio/flac", data.getvalue())
