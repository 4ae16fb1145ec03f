"""The course of a training, from metrics.jsonl."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from avcorr.model.training.metrics_file import read_metrics

from . import plots

CURVES = (
    # keys of metrics.jsonl, the first that is there; title; reference level; smoothed?
    (("loss_mean", "loss"), "Loss", None, True),
    (("accuracy",), "Accuracy on training pairs", (0.5, "chance"), True),
    (("pairs_per_second",), "Pairs per second", None, True),
    (("learning_rate",), "Learning rate", None, False),
)


LARGEST = 1e15
"""What no figure of a training reaches: a chart of larger ones has nothing to see."""


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read what the charts need of the training log, in order of step; of a step that stands twice, the later line."""
    names = {"step", "data_wait", *(key for keys, *_ in CURVES for key in keys)}
    rows = {step: {name: row[name] for name in names & row.keys()} for step, row, _ in read_metrics(path)}
    return [rows[step] for step in sorted(rows)]


def curves(history: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Lay out the log as charts, with the medians of what a step costs; None for an empty one."""
    if not history:
        return None
    charts = []
    for keys, title, rule, smooth in CURVES:
        steps, values = next(filter(all, (_series(history, key) for key in keys)), ([], []))
        chart = plots.line_chart(steps, values, rule, smooth)
        if chart:
            charts.append({"title": title, "chart": chart, "last": plots.compact(float(f"{values[-1]:.4g}"))})
    return {
        "curves": charts,
        "last_step": history[-1]["step"],
        "pairs_per_second": _median(history, "pairs_per_second"),
        "data_wait": _median(history, "data_wait"),
    }


def _series(history: Sequence[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    rows = [row for row in history if type(row.get(key)) in (int, float) and abs(row[key]) < LARGEST]
    return [row["step"] for row in rows], [row[key] for row in rows]


def _median(history: Sequence[dict[str, Any]], key: str) -> float | None:
    values = _series(history, key)[1]
    return median(values) if values else None
