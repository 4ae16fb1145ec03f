"""Write RUN/report.html from the files of a run folder: config.yaml, metrics.jsonl and eval/.

Each part is optional, and a missing one is named on the page. Nothing is loaded from elsewhere: style, script, charts,
pictures and sounds are inside the file.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcorr.files import local_path, read_file, require_writable, write_atomically, writing_to
from avcorr.model.errors import EvaluationError
from avcorr.model.evaluation import figures
from avcorr.model.evaluation.compare import PAPER_TABLE
from avcorr.model.evaluation.evaluation_folder import find_evaluation, list_evaluations, read_evaluation, read_part

from ..inlining import read_media
from ..templates import environment
from . import plots
from .overlay import located
from .training import curves, read_history

MOST_CONFIG = 1 << 17
"""Bytes of a configuration."""

logger = logging.getLogger(__name__)


def write_report(run: str | Path, name: str | None = None) -> Path:
    """Write RUN/report.html, of the evaluation RUN/eval/NAME or the newest one, and return its path.

    Raises EvaluationError when the folder holds neither training metrics nor an evaluation, or when a file in it is
    not what it should be.

    Example:
        >>> avcorr.report("runs/a").name
        'report.html'
    """
    run = local_path(run)
    require_writable(run)
    history = read_history(run / "metrics.jsonl")
    evaluated = find_evaluation(run, name) if name or list_evaluations(run) else None
    if not history and evaluated is None:
        raise EvaluationError(
            f"nothing to report in {run}: neither metrics.jsonl nor an evaluation in eval/ is there; "
            "train and evaluate first, or name another run folder"
        )
    metrics = read_evaluation(evaluated) if evaluated else None
    parts = {
        part: read_part(evaluated, part) if evaluated else None
        for part in ("examples", "mistakes", "projection", "heat_maps")
    }
    shown = (evaluated or run) / "media"
    points = {item["media"] for item in (parts["projection"] or {"items": []})["items"] if "media" in item}
    tiles = {item["media"] for part in ("examples", "mistakes", "heat_maps") for item in _items(parts[part])}
    media = read_media(shown, tiles, points)
    templates = environment("report")
    templates.filters["percent"] = figures.percent
    html = templates.get_template("report.html.jinja").render(
        name=run.resolve().name,
        config=_config(run / "config.yaml"),
        training=curves(history),
        evaluation=metrics,
        dataset=_dataset(metrics),
        paper_table=PAPER_TABLE,
        distances=_distances(metrics),
        examples=parts["examples"],
        mistakes=parts["mistakes"],
        located=located(parts["heat_maps"], shown),
        projection=_projection(parts["projection"]),
        media=media,
        figures=figures,
        facts=figures.facts(history, metrics),
    )  # fmt: skip
    path = run / "report.html"
    with writing_to(run):
        write_atomically(path, html.encode())
    pictures, sounds, size = len(media.pictures), len(media.sounds), path.stat().st_size
    logger.info("%.1f MB with %d pictures and %d sounds", size / 1e6, pictures, sounds)
    return path


def _items(value: Any) -> Iterator[dict[str, Any]]:
    """Yield everything in a part of the evaluation that has a picture and a sound."""
    if isinstance(value, dict):
        if "media" in value:
            yield value
        for inner in value.values():
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)


def _dataset(metrics: dict[str, Any] | None) -> str:
    name = ((metrics or {}).get("run") or {}).get("dataset")
    return f"the dataset {name}" if name else "this run's own data"


def _distances(metrics: dict[str, Any] | None) -> plots.Chart | None:
    if metrics is None or "histogram" not in metrics["avc"]:
        return None
    bins = metrics["avc"]["histogram"]
    counts = {name: bins[name] for name in ("negative", "positive")}
    return plots.histogram(bins["edges"], counts, (metrics["avc"]["threshold"], "p = 0.5"))


def _projection(projection: dict[str, Any] | None) -> dict[str, Any] | None:
    """Lay out the maps; "points" is what the page's script needs to know of each point."""
    if projection is None:
        return None
    count = len(projection["classes"])
    maps = [
        (letter, kind, plots.scatter(projection[kind], projection["labels"], count))
        for letter, kind in (("a", "audio"), ("b", "image"))
    ]
    return {
        **projection,
        "name": projection["settings"].split(",")[0],
        "plots": maps,
        "pictured": sum("media" in item for item in projection["items"]),
        "points": {
            "items": [
                [item["label"], item["key"], round(item["seconds"], 2), item.get("media")]
                for item in projection["items"]
            ],
            "places": {kind: plot.places for _, kind, plot in maps},
        },
    }


def _config(path: Path) -> str | None:
    """Return the run's resolved configuration as text."""
    if not path.exists():
        return None
    try:
        return read_file(path, MOST_CONFIG).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be shown ({error}); delete it, and the report does without") from error
