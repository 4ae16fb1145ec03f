"""Draw a contact sheet of a corpus: clips of every class, six frames each, over the sound of the same seconds.

    python -m pipeline.corpus.sheet --corpus DIR --out FILE.jpg [--labels drum,bell]

Under each strip of frames lies the waveform of its 2.4 s. Every frame stands over its own 0.4 s, taken where the sound
rises most; a line marks the moment. So a person sees whether flash and onset coincide.
"""

import argparse
import csv
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avcorr.pipeline.decoding.ffmpeg import find_ffmpeg
from avcorr.pipeline.errors import CorpusError

from .sounds import SAMPLE_RATE
from .subject import FRAMES_PER_SECOND

_CELLS = 6
_CELL_FRAMES = 10
_START_SECONDS = 1.0
_FRAME_HEIGHT, _WAVE_HEIGHT, _GAP, _MARGIN = 96, 30, 8, 92
_PAPER, _INK, _MARK, _WAVE = (250, 248, 244), (40, 40, 48), (214, 60, 40), (70, 110, 160)


def contact_sheet(
    corpus: Path, out: Path, *, ffmpeg: str = "", labels: Sequence[str] = (), columns: int = 2, quality: int = 82
) -> Path:
    """Draw `columns` clips of each class of a finished corpus and write the sheet as a JPEG.

    Args:
        corpus: a folder with `corpus.csv`.
        out: the JPEG to write, whole or not at all.
        ffmpeg: path of the ffmpeg that decodes; empty: the one that imageio-ffmpeg ships.
        labels: the classes to draw, in this order; empty: all, as they come.
        columns: clips of each class, side by side.
        quality: of the JPEG, 1..100.

    Raises:
        CorpusError: for a folder without clips of a wanted class, or a clip that cannot be decoded.
    """
    ffmpeg = find_ffmpeg(ffmpeg)
    rows = []
    for label, paths in _clips(corpus, labels, columns).items():
        strips = [_strip(ffmpeg, path) for path in paths]
        blank = np.full_like(strips[0], _PAPER)
        rows.append(np.hstack([_name(label, len(strips[0])), *strips, *[blank] * (columns - len(strips))]))
    page = np.vstack(rows)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(page, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise CorpusError(f"cannot encode the contact sheet {out} ({page.shape[1]}x{page.shape[0]} pixels)")
    partial = out.with_name(f".{out.name}.partial")
    partial.write_bytes(data.tobytes())
    os.replace(partial, out)
    return out


def _clips(corpus: Path, labels: Sequence[str], count: int) -> dict[str, list[Path]]:
    """Return the first clips of each class."""
    table = corpus / "corpus.csv"
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [(row["label"], corpus / row["path"]) for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        raise CorpusError(f"{table} is not the table of a finished corpus: {error!r}") from error
    chosen: dict[str, list[Path]] = {label: [] for label in labels or dict(rows)}
    for label, path in rows:
        if label in chosen and len(chosen[label]) < count:
            chosen[label].append(path)
    lacking = [label for label, paths in chosen.items() if not paths]
    if lacking or not chosen:
        raise CorpusError(
            f"{table} has no clip of {', '.join(lacking) or 'any class'}; it has {sorted(set(dict(rows)))}"
        )
    return chosen


def _strip(ffmpeg: str, path: Path) -> np.ndarray:
    """Draw one clip: frames above, waveform below, RGB."""
    seconds = _CELLS * _CELL_FRAMES / FRAMES_PER_SECOND
    scale = f"scale=-2:{_FRAME_HEIGHT}:flags=lanczos"
    picture = _decoded(ffmpeg, path, seconds, ["-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24"])
    sound = _decoded(ffmpeg, path, seconds, ["-f", "s16le", "-ac", "1", "-ar", str(SAMPLE_RATE)])
    frames = np.frombuffer(picture, np.uint8).reshape(_CELLS * _CELL_FRAMES, _FRAME_HEIGHT, -1, 3)
    wave = np.frombuffer(sound, "<i2").astype(np.float32)
    width = frames.shape[2]
    strip = np.full((_FRAME_HEIGHT + _WAVE_HEIGHT + _GAP, _CELLS * width + _GAP, 3), _PAPER, np.uint8)
    samples = SAMPLE_RATE // FRAMES_PER_SECOND
    loud = np.abs(wave[: len(wave) // samples * samples]).reshape(-1, samples).mean(axis=1)
    rises = np.diff(loud, prepend=loud[:1])
    bars = np.abs(wave[: _CELLS * width * (len(wave) // (_CELLS * width))]).reshape(_CELLS * width, -1).max(axis=1)
    middle = _FRAME_HEIGHT + _WAVE_HEIGHT // 2
    for x, bar in enumerate(bars):
        half = int(bar / (bars.max() + 1) * (_WAVE_HEIGHT // 2 - 2))
        cv2.line(strip, (x, middle - half), (x, middle + half), _WAVE, 1)
    for cell in range(_CELLS):
        chosen = cell * _CELL_FRAMES + int(np.argmax(rises[cell * _CELL_FRAMES : (cell + 1) * _CELL_FRAMES]))
        strip[:_FRAME_HEIGHT, cell * width : (cell + 1) * width] = frames[chosen]
        x = int(chosen * width / _CELL_FRAMES)
        cv2.line(strip, (x, _FRAME_HEIGHT + 1), (x, _FRAME_HEIGHT + _WAVE_HEIGHT - 1), _MARK, 1)
        cv2.line(strip, (cell * width, 0), (cell * width, _FRAME_HEIGHT), _PAPER, 1)
    return strip


def _decoded(ffmpeg: str, path: Path, seconds: float, output: list[str]) -> bytes:
    command = [ffmpeg, "-nostdin", "-v", "error", "-i", os.fspath(path), "-ss", str(_START_SECONDS), "-t", str(seconds)]
    result = subprocess.run([*command, *output, "pipe:1"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    if result.returncode or not result.stdout:
        raise CorpusError(f"cannot decode {path}: {result.stderr.decode(errors='replace').strip()[-300:]}")
    return result.stdout


def _name(label: str, height: int) -> np.ndarray:
    """Draw the class's name in the margin."""
    margin = np.full((height, _MARGIN, 3), _PAPER, np.uint8)
    cv2.putText(margin, label, (6, _FRAME_HEIGHT // 2 + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return margin


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description="Draw a contact sheet of a rendered corpus.")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with corpus.csv")
    parser.add_argument("--out", type=Path, required=True, help="JPEG to write")
    parser.add_argument("--labels", default="", help="classes to draw, with commas between; default: all")
    parser.add_argument("--columns", type=int, default=2, help="clips of each class")
    parser.add_argument("--ffmpeg", default="", help="ffmpeg that decodes; default: the one imageio-ffmpeg ships")
    chosen = parser.parse_args(arguments)
    labels = [label for label in chosen.labels.split(",") if label]
    contact_sheet(chosen.corpus, chosen.out, ffmpeg=chosen.ffmpeg, labels=labels, columns=chosen.columns)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
