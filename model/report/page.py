"""Write RUN/report.html from the files of a run folder: config.yaml, metrics.jsonl and eval/.

Each part is optional, and a missing one is named on the page. Nothing is loaded from elsewhere: style, script, charts,
pictures and sounds are inside the file.
"""

import base64
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..compare import PAPER_TABLE
from ..errors import EvaluationError
from ..retrieval import RANKS
from . import plots

logger = logging.getLogger(__name__)

NAMES = {"mrr": "MRR", "map": "mAP", "first_rank": "Median rank of the first"}

CURVES = (
    # keys of metrics.jsonl, the first that is there; title; reference level; smoothed?
    (("loss_mean", "loss"), "Loss", None, True),
    (("accuracy",), "Accuracy on training pairs", (0.5, "chance"), True),
    (("pairs_per_second",), "Pairs per second", None, True),
    (("learning_rate",), "Learning rate", None, False),
)


def write_report(run: Path) -> Path:
    """Write RUN/report.html and return its path.

    Raises EvaluationError when the folder holds neither training metrics nor an evaluation, or when a file in it is
    not what it should be.
    """
    history = _history(run / "metrics.jsonl")
    evaluation = _read_json(run / "eval" / "metrics.json")
    if not history and evaluation is None:
        raise EvaluationError(
            f"nothing to report in {run}: neither metrics.jsonl nor eval/metrics.json is there; "
            "train and evaluate first, or name another run folder"
        )
    # metrics.json is written last: without it, the other files are of an evaluation that did not finish.
    examples = None if evaluation is None else _read_json(run / "eval" / "examples.json")
    projection = None if evaluation is None else _read_json(run / "eval" / "projection.json")
    config = _config(run / "config.yaml")
    page = _environment().get_template("page.html.jinja")
    html = page.render(
        name=run.resolve().name,
        config=config,
        training=_training(history),
        evaluation=evaluation,
        dataset=((evaluation or {}).get("run") or {}).get("dataset") or "this run's own data",
        paper_table=PAPER_TABLE,
        distances=_distances(evaluation),
        examples=examples,
        media=_media(run / "eval" / "media", examples),
        projection=_projection(projection),
        retrieval=_retrieval(evaluation),
        facts=_facts(history, evaluation),
    )
    path = run / "report.html"
    temporary = path.with_name("report.html.partial")
    temporary.write_text(html, encoding="utf-8")
    os.replace(temporary, path)
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    return environment


def _percent(value: float, digits: int = 1) -> str:
    """Write a share in per cent; small ones, such as chance in a large gallery, keep two digits."""
    if 0 < value < 0.001:
        return f"{100 * value:.2g} %"
    return f"{100 * value:.{digits}f} %"


def _rank(value: float) -> str:
    return f"{value:,.0f}"


def _history(path: Path) -> list[dict[str, Any]]:
    """Read the training log in order of step; of a step that a resumed run repeats, the later line counts."""
    if not path.exists():
        return []
    rows: dict[float, dict[str, Any]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            rows[row["step"]] = row
        except (ValueError, TypeError, KeyError):
            # A run that was killed may leave its last line cut short.
            logger.warning("%s line %d is no JSON object with a step; left out", path, number)
    return [rows[step] for step in sorted(rows)]


def _training(history: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if not history:
        return None
    curves = []
    for keys, title, rule, smooth in CURVES:
        steps, values = next(filter(all, (_series(history, key) for key in keys)), ([], []))
        chart = plots.line_chart(steps, values, rule, smooth)
        if chart:
            curves.append({"title": title, "chart": chart, "last": plots.compact(float(f"{values[-1]:.4g}"))})
    return {
        "curves": curves,
        "last_step": history[-1]["step"],
        "pairs_per_second": _median(history, "pairs_per_second"),
        "data_wait": _median(history, "data_wait"),
    }


def _series(history: Sequence[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    rows = [row for row in history if isinstance(row.get(key), int | float) and abs(row[key]) < float("inf")]
    return [row["step"] for row in rows], [row[key] for row in rows]


def _median(history: Sequence[dict[str, Any]], key: str) -> float | None:
    values = _series(history, key)[1]
    return median(values) if values else None


def _distances(evaluation: dict[str, Any] | None) -> plots.Chart | None:
    if evaluation is None or "histogram" not in evaluation["avc"]:
        return None
    bins = evaluation["avc"]["histogram"]
    counts = {name: bins[name] for name in ("negative", "positive")}
    return plots.histogram(bins["edges"], counts, (evaluation["avc"]["threshold"], "p = 0.5"))


def _retrieval(evaluation: dict[str, Any] | None) -> dict[str, Any] | None:
    """Lay out the retrieval metrics: a column per direction, a row per metric, cells of (value, chance) or ("", "")."""
    if evaluation is None:
        return None
    rows = evaluation["retrieval"]
    groups: dict[str, list[tuple[str, list[tuple[str, str]]]]] = {"A clip of the same label": [], "The own clip": []}
    for metric in dict.fromkeys(name for row in rows.values() for name in row["chance"]):
        write = _rank if metric in RANKS else _percent
        cells = [
            (write(row[metric]), write(row["chance"][metric])) if metric in row else ("", "") for row in rows.values()
        ]
        own = metric == "median_rank" or metric.startswith("instance_")
        name = NAMES.get(
            metric.removeprefix("instance_"), metric.removeprefix("instance_").replace("_", " ").capitalize()
        )
        groups["The own clip" if own else "A clip of the same label"].append((name, cells))
    return {
        "directions": [name.replace("_to_", " → ") for name in rows],
        "groups": [(title, group) for title, group in groups.items() if group],
    }


def _facts(history: Sequence[dict[str, Any]], evaluation: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Name what produced the page, for whoever wants to repeat it."""
    facts: list[tuple[str, Any]] = []
    if history:
        facts.append(("Last training step", history[-1]["step"]))
    if evaluation is not None:
        run = dict(evaluation.get("run") or {})
        versions = run.pop("versions", None) or {}
        decoders = run.pop("decoders", None) or {}
        facts += [("Evaluated step", evaluation["step"]), ("Protocol", evaluation["protocol"]["name"])]
        facts.append(("Evaluation seeds", ", ".join(map(str, evaluation["seeds"]))))
        facts.append(("Gallery (SHA-256 of its keys)", evaluation["gallery_sha256"]))
        facts += [(key.replace("_", " ").capitalize(), value) for key, value in run.items() if key != "step"]
        facts += [(f"Decoded by {name}", version) for name, version in decoders.items()]
        facts += [(f"Version of {name}", version) for name, version in versions.items()]
    return [
        (term, f"{value:,}" if isinstance(value, int) else str(value)) for term, value in facts if value is not None
    ]


def _projection(projection: dict[str, Any] | None) -> dict[str, Any] | None:
    if projection is None:
        return None
    count = len(projection["classes"])
    return {
        "classes": projection["classes"],
        "points": len(projection["labels"]),
        "perplexity": projection["perplexity"],
        "plots": [
            (letter, kind, plots.scatter(projection[kind], projection["labels"], count))
            for letter, kind in (("a", "audio"), ("b", "image"))
        ],
    }


def _media(folder: Path, examples: dict[str, Any] | None) -> dict[int, dict[str, str]]:
    """Read the media that examples name as data URLs: {number: {"picture": ..., "sound": ...}}, if there."""
    rows = [row for direction in (examples or {"directions": []})["directions"] for row in direction["rows"]]
    numbers = {item["media"] for row in rows for item in (row["query"], *row["results"])}
    media: dict[int, dict[str, str]] = {}
    for number in sorted(numbers):
        found = {}
        for name, suffix, kind in (("picture", "jpg", "image/jpeg"), ("sound", "wav", "audio/wav")):
            path = folder / f"{int(number)}.{suffix}"
            if path.exists():
                found[name] = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
        media[number] = found
    return media


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        value: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8"))
        return value
    except ValueError as error:
        raise EvaluationError(f"{path} is not valid JSON ({error}); evaluate again") from error


def _config(path: Path) -> str | None:
    """Give the run's resolved configuration as YAML text, checked to be plain data."""
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    try:
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise EvaluationError(f"{path} is not plain YAML: {error}") from error
    return text
