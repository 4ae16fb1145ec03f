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
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from avcorr.files import sync_folder, write_atomically
from avcorr.json_file import read_json

from ..errors import EvaluationError
from .evaluate import FORMAT_VERSION, Evaluation
from .examples import View

FOLDER, METRICS = "eval", "metrics.json"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
MOST_BYTES = 1 << 25
_NEW, _OLD = ".new.tmp", ".old.tmp"

Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[float, Field(ge=-1e300, le=1e300, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6, allow_inf_nan=False)]
"""From 0 to 1, but for rounding."""
Text = Annotated[str, Field(max_length=1 << 16)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63)]
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]
Shares = Annotated[list[Share], Field(min_length=2, max_length=2)]
_open = with_config(ConfigDict(extra="allow"))


@_open
class _Intervals(TypedDict):
    accuracy: Shares
    roc_auc: Shares
    average_precision: Shares
    calibration_error: Shares


@_open
class _Chances(TypedDict):
    accuracy: Share
    roc_auc: Share
    average_precision: Share


@_open
class _Decided(TypedDict):
    pairs: Count
    accuracy: Share
    roc_auc: Share
    average_precision: Share
    calibration_error: Share
    positive_accuracy: Share
    negative_accuracy: Share
    intervals: _Intervals
    chances: _Chances


class _Undecided(TypedDict):
    pairs: Literal[0]


@_open
class _Class(TypedDict):
    accuracy: Share
    interval: Shares
    pairs: Count
    videos: Count


def _has_a_count_each(found: "_Histogram") -> "_Histogram":
    if {len(found["positive"]), len(found["negative"])} != {len(found["edges"]) - 1}:
        raise ValueError("has not one count between two edges")
    return found


class _Histogram(TypedDict):
    edges: Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=2, max_length=1000)]
    positive: list[Count]
    negative: list[Count]


class _Best(TypedDict):
    best_threshold: Number
    best_threshold_accuracy: Share


class _Avc(_Decided):
    interval: Shares
    chance: Share
    seeds: Annotated[dict[Text, Share], Field(max_length=10_000)]
    by_negative: Annotated[dict[Text, _Decided | _Undecided], Field(max_length=100)]
    per_class: dict[Text, _Class]
    judged_by: Literal["distance", "logit"]
    positive_distance: Number
    negative_distance: Number
    threshold: Number
    diagnostic: _Best
    histogram: Annotated[_Histogram, AfterValidator(_has_a_count_each)]


def _has_figures(row: "_Direction") -> "_Direction":
    """Let a direction pass each of whose figures is a number with its chance and its interval."""
    for name, value in row.items():
        if name in _Direction.__annotations__:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:
            raise ValueError(f"{name[:60]} is no number")
        if name not in row["chance"] or name not in row["interval"]:
            raise ValueError(f"{name[:60]} has no chance or no interval")
    return row


@_open
class _Direction(TypedDict):
    gallery: Count
    label_queries: Count
    chance: Annotated[dict[Text, Number], Field(max_length=100)]
    interval: Annotated[dict[Text, Bounds], Field(max_length=100)]


_Figures = Annotated[_Direction, AfterValidator(_has_figures)]


class _Retrieval(TypedDict):
    image_to_image: _Figures
    image_to_audio: _Figures
    audio_to_image: _Figures
    audio_to_audio: _Figures


@_open
class _Protocol(TypedDict):
    name: Text
    notes: list[Text]
    gains: dict[Text, Text]
    avc: Text
    retrieval: Text
    projection: Text


@_open
class _Check(TypedDict):
    name: Text
    passed: bool | None
    detail: Text


@_open
class _Run(TypedDict):
    dataset: NotRequired[Text | None]
    train_videos: NotRequired[Count | None]
    versions: NotRequired[dict[Text, Text] | None]
    decoders: NotRequired[dict[Text, Text] | None]
    shards: NotRequired[dict[Text, bool | Seed | Number | Text] | None]
    weights_sha256: NotRequired[Text | None]


@_open
class _Metrics(TypedDict):
    format_version: Count
    step: Count | None
    split: Text
    clips: Count
    videos: Count
    views: Count
    classes: Count
    seeds: Annotated[list[Seed], Field(max_length=10_000)]
    gallery_sha256: Text
    labels_sha256: Text
    avc: _Avc
    retrieval: _Retrieval
    protocol: _Protocol
    sanity: NotRequired[list[_Check]]
    run: _Run


class _View(TypedDict):
    clip: Count
    key: Text
    label: Text
    seconds: Annotated[float, Field(ge=-1e9, le=1e9)]


_Media = Annotated[int, Field(ge=0, le=10**6)]


class _Point(_View):
    media: NotRequired[_Media]


class _Item(_View):
    media: _Media


class _Result(_Item):
    distance: Number
    same_label: bool | None
    same_clip: bool


class _Row(TypedDict):
    query: _Item
    results: Annotated[list[_Result], Field(max_length=20)]


_Side = Literal["image", "audio"]


class _Shown(TypedDict):
    direction: Text
    query: _Side
    result: _Side
    rows: Annotated[list[_Row], Field(max_length=20)]


class _Examples(TypedDict):
    seed: Seed
    directions: Annotated[list[_Shown], Field(max_length=4)]


class _Mistake(TypedDict):
    frame: _Item
    sound: _Item
    probability: Share
    same_label: bool | None


class _Kind(TypedDict):
    count: Count
    pairs: Count
    rows: Annotated[list[_Mistake], Field(max_length=20)]


class _Mistakes(TypedDict):
    false_alarms: _Kind
    of_two_labels: _Kind
    misses: _Kind


def _fits(found: "_Projection") -> "_Projection":
    if len({len(found[name]) for name in ("labels", "image", "audio", "items")}) > 1:
        raise ValueError("has not one label, item and place in either map for each point")
    if max(found["labels"], default=-1) >= len(found["classes"]):
        raise ValueError("has points of no class")
    return found


_Places = Annotated[list[Annotated[list[Annotated[float, Field(ge=-2, le=2)]], Field(min_length=2, max_length=2)]],
                    Field(max_length=20_000)]  # fmt: skip


class _Projection(TypedDict):
    method: Text
    settings: Text
    classes: Annotated[list[Text], Field(max_length=1000)]
    labels: list[Count]
    image: _Places
    audio: _Places
    items: list[_Point]
    seed: Seed


def _is_a_grid(rows: list[list[float]]) -> list[list[float]]:
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ValueError("is no grid")
    return rows


_Grid = Annotated[list[Annotated[list[Share], Field(max_length=200)]], Field(min_length=1, max_length=200),
                  AfterValidator(_is_a_grid)]  # fmt: skip


class _Heat(TypedDict):
    places: _Grid
    probability: Share


class _OtherHeat(_Heat):
    sound: _Item


class _HeatMap(TypedDict):
    frame: _Item
    own: _Heat
    other: _OtherHeat


_KINDS: dict[str, TypeAdapter[Any]] = {
    "metrics": TypeAdapter(_Metrics),
    "examples": TypeAdapter(_Examples),
    "mistakes": TypeAdapter(_Mistakes),
    "projection": TypeAdapter(Annotated[_Projection, AfterValidator(_fits)] | None),
    "heat_maps": TypeAdapter(Annotated[list[_HeatMap], Field(max_length=20)] | None),
}
_VERSION = TypeAdapter(Annotated[dict[str, Any], Field(min_length=1)])


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
    version = _read(path, run, _VERSION).get("format_version")
    if version != FORMAT_VERSION:
        raise EvaluationError(
            f"{path} has format version {version!r:.30}, not {FORMAT_VERSION}; evaluate again with: "
            f"avcorr eval --run {run}"
        )
    return dict(_read(path, run, _KINDS["metrics"]))


def read_part(folder: Path, name: str) -> Any:
    """Return `examples`, `mistakes`, `projection` or `heat_maps` of an evaluation, None where it is not there."""
    path = folder / f"{name}.json"
    return _read(path, folder.parent.parent, _KINDS[name]) if path.exists() else None


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
        for part in reversed(_KINDS):
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
