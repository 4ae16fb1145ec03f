"""Several evaluations side by side, below the paper's Table I."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avcorr.files import local_path

from .evaluation_folder import find_evaluation, read_evaluation
from .figures import bounded, versions
from .table import aligned


class Published(NamedTuple):
    """A row of the paper's Table I, as printed there."""

    method: str
    data: str
    videos: str
    classes: str
    accuracy: str


PAPER_TABLE = (
    Published("L³-Net (2017)", "Flickr-SoundNet", "500k", "unlabelled", "78 %"),
    Published("AVE-Net (2018)", "AudioSet-Instruments", "300k", "110", "81.9 %"),
    Published("The paper", "VGGSound", "200k", "309", "79.8 %"),
)
PAPER_NOTE = (
    "The first three rows are the figures of the paper's Table I, each on other data, with other pairs and negatives; "
    "none of the three says how many test pairs, seeds or what interval. They are not comparable with the other rows."
)
SHOWN = {
    "image_to_audio recall_at_1": "image→audio R@1",
    "audio_to_image recall_at_1": "audio→image R@1",
    "image_to_audio ndcg_at_30": "image→audio nDCG@30",
    "audio_to_image ndcg_at_30": "audio→image nDCG@30",
}


def compare(runs: Sequence[str | Path]) -> dict[str, Any]:
    """Return the paper's rows, a row for each run, and notes on what cannot be compared: what --json prints.

    Each is a run, whose newest evaluation is taken, or the folder of an evaluation, RUN/eval/NAME.
    Raises EvaluationError when there is none, or one of another format.

    Example:
        >>> metrics = avcorr.evaluate("runs/a", "data/shards").metrics
        >>> avcorr.compare(["runs/a"])["runs"][0]["accuracy"] == metrics["avc"]["accuracy"]
        True
    """
    folders = [find_evaluation(local_path(run)) for run in runs]
    rows = [_row(folder, read_evaluation(folder)) for folder in folders]
    notes = [PAPER_NOTE]
    kinds = {
        "protocol": "protocols", "gallery_sha256": "galleries", "labels_sha256": "labels", "seeds": "seeds",
        "decoders": "decoders",
    }  # fmt: skip
    for key, name in kinds.items():
        if len({json.dumps(row[key], sort_keys=True) for row in rows}) > 1:
            notes.append(f"The runs have different {name}: their figures are not of the same thing.")
    if made := _differences([row["shards"] or {} for row in rows]):
        notes.append(f"The runs have shards made otherwise ({made}): their figures are not of the same thing.")
    weights: dict[tuple[str, int | None], str | None] = {}
    for row in rows:
        if weights.setdefault((row["run"], row["step"]), row["weights_sha256"]) != row["weights_sha256"]:
            notes.append(f"{row['run']}: the evaluations of step {row['step']} are of different weights.")
    notes += [
        f"{row['run']}: the check {check!r} failed; its figures cannot be trusted"
        for row in rows
        for check in row["failed"]
    ]
    notes += [f"{row['run']}: {note}" for row in rows for note in row["notes"]]
    return {"paper": [row._asdict() for row in PAPER_TABLE], "runs": rows, "notes": notes}


def _differences(settings: Sequence[Mapping[str, Any]]) -> str:
    """Name the settings of shards that are not alike, with their values in the order of the runs."""
    names = sorted({name for each in settings for name in each})
    found = {name: [each.get(name, "unknown") for each in settings] for name in names}
    return "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in found.items() if len(set(values)) > 1)


def _row(folder: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    avc, facts = metrics["avc"], metrics["run"]
    retrieval = {}
    for name in SHOWN:
        direction, figure = name.split()
        found = metrics["retrieval"][direction]
        if figure in found:
            retrieval[name] = {
                "value": found[figure],
                "interval": found["interval"][figure],
                "chance": found["chance"][figure],
                "queries": found["label_queries"],
            }
    return {
        "run": str(folder.parent.parent),
        "evaluation": folder.name,
        "step": metrics["step"],
        "data": facts.get("dataset"),
        "train_videos": facts.get("train_videos"),
        "classes": metrics["classes"],
        "accuracy": avc["accuracy"],
        "interval": avc["interval"],
        "chance": avc["chance"],
        "pairs": avc["pairs"],
        "seeds": metrics["seeds"],
        "retrieval": retrieval,
        "split": metrics["split"],
        "clips": metrics["clips"],
        "protocol": metrics["protocol"]["name"],
        "gallery_sha256": metrics["gallery_sha256"],
        "labels_sha256": metrics["labels_sha256"],
        "weights_sha256": facts.get("weights_sha256"),
        "shards": facts.get("shards"),
        "decoders": facts.get("decoders"),
        "notes": metrics["protocol"]["notes"],
        "failed": [check["name"] for check in metrics.get("sanity", []) if check["passed"] is False],
    }


def table(comparison: Mapping[str, Any]) -> str:
    """Lay out a comparison as text: Table I with the runs below, then their retrieval and protocols."""
    runs = comparison["runs"]
    first = [["", "data", "videos", "classes", "AVC [95 %] (chance)", "pairs", "seeds"]]
    first += [[*row.values(), "unknown", "unknown"] for row in comparison["paper"]]
    first += [_correspondence(row) for row in runs]
    second = [["retrieval [95 %] (chance)", *SHOWN.values(), "clips", "protocol", "gallery"]]
    second += [_retrieval(row) for row in runs]
    decoded = dict.fromkeys(versions(row["decoders"]) for row in runs)
    lines = [*_ruled(first), "", *_ruled(second), "", f"decoded by {'; '.join(decoded)}"]
    return "\n".join([*lines, *comparison["notes"]])


def _ruled(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *lines = aligned(rows)
    return [head, "-" * max(map(len, (head, *lines))), *lines]


def _name(row: Mapping[str, Any]) -> str:
    return f"{Path(row['run']).name}, step {row['step']}"


def _correspondence(row: Mapping[str, Any]) -> list[str]:
    videos = "unknown" if row["train_videos"] is None else f"{row['train_videos']:,}"
    accuracy = str(bounded(row["accuracy"], row["interval"], row["chance"]))
    seeds = ", ".join(map(str, row["seeds"]))
    return [_name(row), row["data"] or "unknown", videos, str(row["classes"]), accuracy, f"{row['pairs']:,}", seeds]


def _retrieval(row: Mapping[str, Any]) -> list[str]:
    found = [row["retrieval"].get(name) for name in SHOWN]
    cells = [str(bounded(cell["value"], cell["interval"], cell["chance"])) if cell else "-" for cell in found]
    return [_name(row), *cells, f"{row['clips']:,}", row["protocol"], row["gallery_sha256"][:12]]
