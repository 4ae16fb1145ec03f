"""Evaluations on disk: RUN/eval/NAME/, each whole, and read through one gate.

metrics.json                                            the figures, and of what they are
examples.json, mistakes.json, projection.json, heat_maps.json    what the report shows beside them
media/N.jpg, N.wav, N.crop.jpg                          views that these name as "media"
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from avcorr.files import sync_folder, write_atomically
from avcorr.json_file import read_json

from ..errors import EvaluationError
from .evaluate import FORMAT_VERSION, Evaluation
from .evaluation_types import KINDS, VERSION
from .examples import View

FOLDER, METRICS = "eval", "metrics.json"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
MOST_BYTES = 1 << 25
_NEW, _OLD = ".new.tmp", ".old.tmp"


def evaluation_name(dataset: str, split: str, protocol: str) -> str:
    """Return the name that an evaluation has where none is given: `vggsound-test-full-center`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{dataset}-{split}-{protocol}").lstrip(".-")[:100] or "unnamed"


def require_name(name: str) -> str:
    """Return a name that a folder may have. Raises EvaluationError on another."""
    if not NAME.fullmatch(name):
        raise EvaluationError(f"{name[:100]!r} is no name of an evaluation; give letters, digits, '.', '_' and '-'")
    return name


def list_evaluations(run: Path) -> list[Path]:
    """Return the folders of a run's evaluations, the newest first."""
    found = [path for path in (run / FOLDER).glob(f"*/{METRICS}") if not path.parent.name.startswith(".")]
    return [path.parent for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path), reverse=True)]


def find_evaluation(place: Path, name: str | None = None) -> Path:
    """Return the folder of an evaluation: of its name, of a run's newest one, or the place itself where it is one.

    Raises EvaluationError where there is none.
    """
    if name is not None:
        folder = place / FOLDER / require_name(name)
        if not (folder / METRICS).exists():
            known = ", ".join(path.name for path in list_evaluations(place)) or "none"
            raise EvaluationError(f"{place} has no evaluation {name!r}; it has {known}")
        return folder
    if (place / METRICS).exists():
        return place
    found = list_evaluations(place)
    if not found:
        raise EvaluationError(f"{place} holds no evaluation; make it with: avcorr eval --run {place}")
    return found[0]


def read_evaluation(folder: Path) -> dict[str, Any]:
    """Return the metrics of an evaluation. Raises EvaluationError when they are none, or of another format."""
    path, run = folder / METRICS, folder.parent.parent
    version = _read(path, run, VERSION).get("format_version")
    if version != FORMAT_VERSION:
        raise EvaluationError(
            f"{path} has format version {version!r:.30}, not {FORMAT_VERSION}; evaluate again with: "
            f"avcorr eval --run {run}"
        )
    return dict(_read(path, run, KINDS["metrics"]))


def read_part(folder: Path, name: str) -> Any:
    """Return `examples`, `mistakes`, `projection` or `heat_maps` of an evaluation, None where it is not there."""
    path = folder / f"{name}.json"
    return _read(path, folder.parent.parent, KINDS[name]) if path.exists() else None


def _read(path: Path, run: Path, kind: TypeAdapter[Any]) -> Any:
    try:
        return read_json(path, kind, MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EvaluationError(f"{path} cannot be read ({reason}); make it with: avcorr eval --run {run}") from error


def write_evaluation(
    evaluation: Evaluation,
    run: Path,
    media: Mapping[View, tuple[bytes, bytes]],
    crops: Mapping[View, bytes],
    name: str | None = None,
) -> Path:
    """Write RUN/eval/NAME and return its metrics.json; an earlier one of the name is replaced once this one is whole.

    `media` maps a wanted view to (JPEG bytes, WAV bytes), `crops` a located one to the JPEG of what the model sees;
    views they lack are shown as missing.
    """
    metrics = evaluation.metrics
    dataset = metrics["run"].get("dataset") or "dataset"
    name = name or evaluation_name(dataset, metrics["split"], metrics["protocol"]["name"])
    top = run / FOLDER
    top.mkdir(parents=True, exist_ok=True)
    _tidy(top)
    folder, new = top / require_name(name), top / f".{name}.{secrets.token_hex(4)}{_NEW}"
    try:
        (new / "media").mkdir(parents=True)
        for number, view in enumerate(evaluation.wanted):
            if view in media:
                for suffix, data in zip(("jpg", "wav"), media[view], strict=True):
                    (new / "media" / f"{number}.{suffix}").write_bytes(data)
            if view in crops:
                (new / "media" / f"{number}.crop.jpg").write_bytes(crops[view])
        for part in reversed(KINDS):
            text = json.dumps(getattr(evaluation, part), indent=1, allow_nan=False, ensure_ascii=False)
            write_atomically(new / f"{part}.json", text.encode() + b"\n")
        if folder.exists():
            os.replace(folder, top / f".{name}{_OLD}")
        os.replace(new, folder)
    finally:
        _tidy(top)
    sync_folder(top)
    return folder / METRICS


def _tidy(top: Path) -> None:
    """Remove what a process that was killed left half written; one that it had moved away is put back."""
    for path in top.glob(".*.tmp"):
        place = top / path.name[1:].removesuffix(_OLD)
        if path.name.endswith(_OLD) and not place.exists():
            os.replace(path, place)
        elif path.name.endswith((_OLD, _NEW)):
            with suppress(OSError):
                shutil.rmtree(path)
