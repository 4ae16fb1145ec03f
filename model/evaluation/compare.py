"""Several evaluations side by side, below the paper's Table I."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avcorr.files import local_path

from ..errors import EvaluationError
from .evaluate import FORMAT_VERSION
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


def read_evaluation(run: Path) -> dict[str, Any]:
    """Return the metrics of a run's last evaluation. Raises EvaluationError when there are none of this format."""
    path = run / "eval" / "metrics.json"
    try:
        metrics: dict[str, Any] = json.loads(path.read_bytes())
        version = metrics["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} cannot be read ({error}); make it with: avcorr eval --run {run}") from error
    if version != FORMAT_VERSION:
        raise EvaluationError(
            f"{path} has format version {version}, not {FORMAT_VERSION}; evaluate again with: avcorr eval --run {run}"
        )
    return metrics


def compare(runs: Sequence[str | Path]) -> dict[str, Any]:
    """Return the paper's rows, a row for each run, and notes on what cannot be compared: what --json prints.

    Raises EvaluationError when a run has no evaluation, or one of another format.

    Example:
        >>> metrics = avcorr.evaluate("runs/a", "data/shards").metrics
        >>> avcorr.compare(["runs/a"])["runs"][0]["accuracy"] == metrics["avc"]["accuracy"]
        True
    """
    rows = [_row(run, read_evaluation(run)) for run in map(local_path, runs)]
    notes = [PAPER_NOTE]
    kinds = {"protocol": "protocols", "gallery_sha256": "galleries", "seeds": "seeds", "decoders": "decoders"}
    for key, name in kinds.items():
        if len({json.dumps(row[key], sort_keys=True) for row in rows}) > 1:
            notes.append(f"The runs have different {name}: their figures are not of the same thing.")
    notes += [
        f"{row['run']}: the check {check!r} failed; its figures cannot be trusted"
        for row in rows
        for check in row["failed"]
    ]
    notes += [f"{row['run']}: {note}" for row in rows for note in row["notes"]]
    return {"paper": [row._asdict() for row in PAPER_TABLE], "runs": rows, "notes": notes}


def _row(run: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
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
        "run": str(run),
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
