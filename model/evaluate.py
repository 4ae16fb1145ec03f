"""Evaluate embeddings of held-out clips and write the results into the run folder.

Says what was measured along with the numbers: protocol, seed, counts and a hash of the gallery. Reads no media: the
views that the examples show are named in `Evaluation.wanted`, and whoever can decode them hands the bytes back.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .avc import Head, correspondence
from .embed import Embeddings
from .errors import EvaluationError
from .projection import project
from .retrieval import DIRECTIONS, modalities, nearest, retrieval
from .settings import EvalSettings

FORMAT_VERSION = 1
EXAMPLE_QUERIES = 4
EXAMPLE_RESULTS = 5

PROTOCOL = {
    "avc": (
        "Every view gives one positive pair (its frame with its own sound) and one negative pair (its frame with the "
        "sound of a view of another source video, each sound used once). Decided at p > 0.5. The interval is a 95 % "
        "bootstrap over source videos."
    ),
    "retrieval": (
        "One view per clip, the middle one in time of its views. Gallery: all clips; within a modality the query and "
        "the other clips of its source video are taken out. Relevant: clips of the query's label (single label, binary "
        "gain; the ideal ranking of nDCG is over the whole gallery), across modalities also the query's own clip. "
        "Instance recall and median rank: the query's own clip alone. Ties are broken by a seeded shuffle."
    ),
    "projection": "t-SNE of one view per clip; classes drawn at random, labels used for choice and colour only.",
}


class ClipRecord(Protocol):
    """What is known of a clip: a unique key, its source video, and its label ("" if unknown)."""

    @property
    def key(self) -> str: ...
    @property
    def video(self) -> str: ...
    @property
    def label(self) -> str: ...


View = tuple[int, float]
"""A moment: (clip index, seconds from the start of the clip)."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of `evaluate`, ready for JSON."""

    metrics: dict[str, Any]
    examples: dict[str, Any]
    projection: dict[str, Any] | None
    wanted: list[View]
    """Views shown by the examples, at most 96; an item's "media" is a place in this list."""


def evaluate(
    embeddings: Embeddings,
    clips: Sequence[ClipRecord],
    head: Head,
    settings: EvalSettings,
    run_info: Mapping[str, Any],
) -> Evaluation:
    """Measure correspondence and retrieval, and choose what the report shows.

    `run_info` is passed through as metrics["run"]. The report knows its keys step, dataset (a name), train_videos (a
    count) and versions (a mapping), and lists all others as they are.
    Raises EvaluationError when there are fewer than two clips, or when no view can meet the sound of another video.
    """
    if len(embeddings) == 0 or embeddings.clips.min() < 0 or embeddings.clips.max() >= len(clips):
        raise EvaluationError(f"views must point into the {len(clips)} clip records; got {len(embeddings)} views")
    chosen = embeddings.middle_views()
    if len(chosen) < 2:
        raise EvaluationError(f"evaluation needs at least 2 clips; split {settings.split!r} gives {len(chosen)}")
    every_video = np.array([clip.video for clip in clips])
    every_label = np.array([clip.label for clip in clips])
    labels, videos = every_label[chosen.clips], every_video[chosen.clips]
    keys = sorted(clips[index].key for index in chosen.clips)
    seed, depth = settings.seed, settings.retrieval_depth
    metrics = {
        "format_version": FORMAT_VERSION,
        "step": run_info.get("step"),
        "split": settings.split,
        "clips": len(chosen),
        "videos": len(np.unique(videos)),
        "views": len(embeddings),
        "labelled_clips": int((labels != "").sum()),
        "classes": len(np.unique(labels[labels != ""])),
        "seed": seed,
        "gallery_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "avc": correspondence(
            embeddings.image, embeddings.audio, every_video[embeddings.clips], head, seed, settings.bootstrap
        ),
        "retrieval": retrieval(chosen.image, chosen.audio, labels, videos, depth, seed),
        "protocol": PROTOCOL,
        "run": dict(run_info),
    }
    examples, wanted = _examples(chosen, clips, videos, seed)
    projection = project(chosen.image, chosen.audio, labels, chosen.clips, settings.tsne_classes, seed)
    return Evaluation(metrics, examples, projection, wanted)


def _examples(
    chosen: Embeddings, clips: Sequence[ClipRecord], videos: np.ndarray, seed: int
) -> tuple[dict[str, Any], list[View]]:
    """Draw queries for each direction and find their nearest clips, as in Figure 2 of the paper."""
    generator = np.random.default_rng(seed)
    vectors = {"image": chosen.image, "audio": chosen.audio}
    wanted: dict[View, int] = {}
    directions = []
    for direction in DIRECTIONS:
        query_kind, result_kind = modalities(direction)
        queries = generator.permutation(len(chosen))[:EXAMPLE_QUERIES]
        excluded = (videos[queries], videos) if query_kind == result_kind else None
        found = nearest(vectors[query_kind][queries], vectors[result_kind], EXAMPLE_RESULTS, seed, excluded)
        rows = []
        for query, ranking in zip(queries, found, strict=True):
            results = ranking[ranking >= 0]
            gaps = np.linalg.norm(vectors[query_kind][query] - vectors[result_kind][results], axis=1)
            rows.append(
                {
                    "query": _item(chosen, clips, query, wanted),
                    "results": [
                        _item(chosen, clips, result, wanted)
                        | {"distance": round(float(gap), 4)}
                        | _relation(clips[chosen.clips[query]], clips[chosen.clips[result]])
                        for result, gap in zip(results, gaps, strict=True)
                    ],
                }
            )
        directions.append({"direction": direction, "query": query_kind, "result": result_kind, "rows": rows})
    return {"seed": seed, "directions": directions}, list(wanted)


def _item(chosen: Embeddings, clips: Sequence[ClipRecord], row: int, wanted: dict[View, int]) -> dict[str, Any]:
    index, seconds = int(chosen.clips[row]), float(chosen.times[row])
    media = wanted.setdefault((index, seconds), len(wanted))
    clip = clips[index]
    return {"clip": index, "key": clip.key, "label": clip.label, "seconds": seconds, "media": media}


def _relation(query: ClipRecord, result: ClipRecord) -> dict[str, bool | None]:
    """Compare two clips; same_label is None where a label is unknown."""
    known = bool(query.label and result.label)
    return {"same_label": query.label == result.label if known else None, "same_clip": query.key == result.key}


def write_evaluation(evaluation: Evaluation, run: Path, media: Mapping[View, tuple[bytes, bytes]]) -> Path:
    """Write RUN/eval and return its metrics.json, which is written last: its presence means complete.

    `media` maps a wanted view to (JPEG bytes, WAV bytes); views it lacks are shown as missing. Media of an earlier
    evaluation are removed, as their numbers mean other views.
    """
    folder = run / "eval"
    (folder / "media").mkdir(parents=True, exist_ok=True)
    for stale in [folder / "metrics.json", *(folder / "media").glob("*.jpg"), *(folder / "media").glob("*.wav")]:
        stale.unlink(missing_ok=True)
    for place, view in enumerate(evaluation.wanted):
        if view in media:
            jpeg, wave = media[view]
            (folder / "media" / f"{place}.jpg").write_bytes(jpeg)
            (folder / "media" / f"{place}.wav").write_bytes(wave)
    _write_json(folder / "examples.json", evaluation.examples)
    _write_json(folder / "projection.json", evaluation.projection)
    _write_json(folder / "metrics.json", evaluation.metrics)
    return folder / "metrics.json"


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, allow_nan=False, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def table(metrics: Mapping[str, Any]) -> str:
    """Lay out the metrics as plain text: every value with chance beside it, and the counts."""
    avc = metrics["avc"]
    low, high = (100 * bound for bound in avc["interval"])
    lines = [
        f"{metrics['split']} split, step {metrics['step']}: {metrics['clips']} clips of {metrics['videos']} videos, "
        f"{metrics['views']} views, {metrics['classes']} classes, seed {metrics['seed']}",
        "",
        f"AVC accuracy {100 * avc['accuracy']:.1f} %  (95 % interval {low:.1f} to {high:.1f} %, chance 50.0 %, "
        f"{avc['pairs']} pairs)",
        f"  positive pairs {100 * avc['positive_accuracy']:.1f} %, negative pairs "
        f"{100 * avc['negative_accuracy']:.1f} %, ROC AUC {avc['roc_auc']:.3f}",
        "",
    ]
    rows = metrics["retrieval"].values()
    heads = [direction.replace("_", " ").rjust(18) for direction in metrics["retrieval"]]
    lines.append("retrieval, % (chance)".ljust(24) + "".join(heads))
    for name in dict.fromkeys(name for row in rows for name in row["chance"]):
        lines.append(name.replace("_", " ").ljust(24) + "".join(_cell(name, row).rjust(18) for row in rows))
    lines.append("label queries / gallery".ljust(24) + "".join(_counts(row).rjust(18) for row in rows))
    return "\n".join(lines)


def _cell(name: str, row: Mapping[str, Any]) -> str:
    if name not in row:
        return "-"
    value, chance = row[name], row["chance"][name]
    if name == "median_rank":
        return f"{value:.0f} ({chance:.0f})"
    return f"{_hundredths(value)} ({_hundredths(chance)})"


def _hundredths(value: float) -> str:
    """Write a share in per cent; small ones, such as chance in a large gallery, keep two digits."""
    return f"{100 * value:.2g}" if 0 < value < 0.001 else f"{100 * value:.1f}"


def _counts(row: Mapping[str, Any]) -> str:
    return f"{row['label_queries']} / {row['gallery']}"
