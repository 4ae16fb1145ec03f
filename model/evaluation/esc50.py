"""ESC-50, or a folder laid out like it: sounds in five folds, for the probe.

DIR/meta/esc50.csv      with the columns filename, fold, category, and src_file where several are of one recording
DIR/audio/*.wav         (K. J. Piczak, ESC: Dataset for Environmental Sound Classification, 2015)
"""

import csv
import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired

import numpy as np
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from avcorr.files import read_file
from avcorr.json_file import first_fault

from ..embedding.embedder import Embedder
from ..embedding.sound_file import read_sound
from ..errors import EvaluationError, ModelError
from .probing import Items, classify, commonest, figures

logger = logging.getLogger(__name__)


_MOST_BYTES = 1 << 26
"""Of the table."""


class _Row(TypedDict):
    filename: str
    fold: str
    category: str
    src_file: NotRequired[str | None]


_ROWS = TypeAdapter(list[_Row])


@dataclass(frozen=True)
class Sound:
    """One row of the table."""

    path: Path
    fold: str
    label: str
    source: str
    """The recording that it was cut from."""


def read_folder(folder: Path) -> list[Sound]:
    """Return the sounds of a folder in the order of its table. Raises EvaluationError where it is not as said above."""
    table = folder / "meta" / "esc50.csv"
    try:
        text = io.StringIO(read_file(table, _MOST_BYTES).decode(), newline="")
        sounds = [
            Sound(
                folder / "audio" / row["filename"],
                row["fold"],
                row["category"],
                row.get("src_file") or row["filename"],
            )
            for row in _ROWS.validate_python(list(csv.DictReader(text)))
        ]
    except (OSError, ValueError, csv.Error) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else error
        raise EvaluationError(
            f"{table} cannot be read ({reason}); ESC-50 has it, with the columns filename, fold and category"
        ) from error
    if len({sound.fold for sound in sounds}) < 2:
        raise EvaluationError(f"{table} has {len(sounds)} sounds in fewer than 2 folds; a probe learns from the others")
    return sounds


def embed_sounds(
    embedder: Embedder, sounds: Sequence[Sound], windows: int, progress: Callable[[], object] = lambda: None
) -> np.ndarray:
    """Return a unit vector of each sound, float32 (M, D): the mean over `windows` windows evenly over it.

    Sounds shorter than the model's window are filled up with silence, which the log says. Raises ModelError on a file
    that is no sound, or has no sample.
    """
    vectors, filled = [], 0
    for sound in sounds:
        wave = read_sound(sound.path, embedder.sample_rate)
        if not len(wave):
            raise ModelError(f"{sound.path} has no sample")
        filled += len(wave) < embedder.samples
        wave = np.pad(wave, (0, max(0, embedder.samples - len(wave))))
        room = len(wave) - embedder.samples
        starts = np.rint(room * (np.arange(windows) + 0.5) / windows).astype(int)
        parts = embedder.embed_audio(np.stack([wave[start : start + embedder.samples] for start in starts]))
        mean = parts.double().mean(dim=0).numpy()
        vectors.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
        progress()
    if filled:
        logger.warning("%d of %d sounds are shorter than the model's window of %g s and were filled up with silence",
                       filled, len(sounds), embedder.seconds)  # fmt: skip
    return np.array(vectors, np.float32)


def cross_validate(sounds: Sequence[Sound], vectors: np.ndarray, bootstrap: int, seed: int) -> dict[str, Any]:
    """Classify every sound by what was learnt from the other folds, and return what `probing.table` lays out."""
    labels, folds = (np.array([getattr(sound, name) for sound in sounds]) for name in ("label", "fold"))
    owners = np.array([sound.source for sound in sounds])
    classes = np.unique(labels)
    scores: dict[str, np.ndarray] = {}
    for fold in np.unique(folds):
        learnt, tested = (
            Items({"audio": vectors[rows]}, labels[rows], owners[rows]) for rows in (folds != fold, folds == fold)
        )
        columns = np.searchsorted(classes, np.unique(learnt.labels))
        for classifier, found in classify(learnt, tested)["audio"].items():
            table = scores.setdefault(classifier, np.zeros((len(sounds), len(classes))))
            table[np.ix_(np.flatnonzero(folds == fold), columns)] = found
    items, chance = Items({"audio": vectors}, labels, owners), commonest(labels, labels)
    results = {}
    for classifier, table in scores.items():
        right = classes[table.argmax(axis=1)] == labels
        results[classifier] = figures(table, classes, items, chance, bootstrap, seed) | {
            "folds": {str(fold): float(right[folds == fold].mean()) for fold in np.unique(folds)}
        }
    names = sorted(sound.path.name for sound in sounds)
    return {
        "train_items": f"{len(sounds)} less a fold",
        "test_items": len(sounds),
        "classes": len(classes),
        "gallery_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
        "results": {"audio": results},
    }
