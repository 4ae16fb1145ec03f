"""What the files of an evaluation hold, as types: all that readers use of them."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

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


KINDS: dict[str, TypeAdapter[Any]] = {
    "metrics": TypeAdapter(_Metrics),
    "examples": TypeAdapter(_Examples),
    "mistakes": TypeAdapter(_Mistakes),
    "projection": TypeAdapter(Annotated[_Projection, AfterValidator(_fits)] | None),
    "heat_maps": TypeAdapter(Annotated[list[_HeatMap], Field(max_length=20)] | None),
}
"""By the names of the files, of which `metrics` is written last."""
VERSION = TypeAdapter(Annotated[dict[str, Any], Field(min_length=1)])
"""Of metrics.json of any format: enough to tell which."""
