"""Lay out an evaluation as text: every figure with its number of items, its interval and its value at chance."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from . import figures


def table(metrics: Mapping[str, Any]) -> str:
    """Return the metrics as plain text, failed checks above all."""
    head = [*_failures(metrics), *_header(metrics)]
    return "\n".join([*head, "", *_correspondence(metrics), "", *_retrieval(metrics)])


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lay out rows of texts in columns as wide as their longest; those whose numbers are in `right` end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        padded = [
            cell.rjust(width) if index in right else cell.ljust(width) for index, (cell, width) in enumerate(cells)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _failures(metrics: Mapping[str, Any]) -> Iterator[str]:
    for check in metrics.get("sanity", []):
        if check["passed"] is False:
            yield f"FAILED: {check['name']}: {check['detail']}; do not trust what follows"


def _header(metrics: Mapping[str, Any]) -> Iterator[str]:
    notes, checks = metrics["protocol"]["notes"], metrics.get("sanity", [])
    yield (
        f"{metrics['split']} split, step {metrics['step']}: {metrics['clips']} clips of {metrics['videos']} videos, "
        f"{metrics['views']} views, {metrics['classes']} classes"
    )
    yield ", ".join(f"{name.lower()} {value}" for name, value in figures.provenance(metrics))
    yield from (f"note: {note}" for note in notes)
    made = [check for check in checks if check["passed"] is not None]
    if checks:
        yield f"checks: {sum(check['passed'] for check in made)} of {len(made)} passed"
    yield from (f"not checked: {check['name']}: {check['detail']}" for check in checks if check["passed"] is None)


def _correspondence(metrics: Mapping[str, Any]) -> Iterator[str]:
    avc = metrics["avc"]
    low, high = map(figures.share, avc["interval"])
    interval = f"95 % interval {low} to {high} %, chance 50.0 %, {avc['pairs']} pairs"
    yield f"AVC accuracy {figures.percent(avc['accuracy'])}  ({interval})"
    by_seed = ", ".join(map(figures.share, avc["seeds"].values()))
    positive, negative = figures.percent(avc["positive_accuracy"]), figures.percent(avc["negative_accuracy"])
    yield f"  by seed {by_seed}; positive pairs {positive}, negative pairs {negative}"
    yield from (f"  {name} {cell}" for name, cell in figures.correspondence(metrics)[1:])
    best = avc["diagnostic"]
    yield (
        f"  best threshold {best['best_threshold']:.3f} gives {figures.percent(best['best_threshold_accuracy'])} on "
        f"these very pairs (diagnostic; the model's is {avc['threshold']:.3f})"
    )
    rows: list[Sequence[str]] = [("by negative [95 % interval] (chance)", "pairs", "accuracy", "ROC AUC", "rejected")]
    rows += [(name, f"{pairs:,}", *map(str, cells)) for name, pairs, *cells in figures.by_negative(metrics)]
    yield from aligned(rows, right=range(1, 5))
    classes = figures.per_class(metrics)
    if classes["shown"]:
        which = ", the best and the worst" if classes["others"] else ""
        yield f"accuracy by class of the frame{which}"
    for row in classes["shown"]:
        cell = figures.bounded(row["accuracy"], row["interval"], avc["chance"])
        yield f"  {row['label']}: {cell}, {row['pairs']} pairs of {row['videos']} videos"


def _retrieval(metrics: Mapping[str, Any]) -> Iterator[str]:
    found = figures.retrieval(metrics)
    rows = [("retrieval [95 % interval] (chance)", *found["directions"])]
    for title, group in found["groups"]:
        rows.append((title, *("" for _ in found["directions"])))
        rows += [(f"  {name}", *(str(cell or "-") for cell in cells)) for name, cells in group]
    rows += [(name, *counts) for name, counts in found["counts"]]
    yield from aligned(rows, right=range(1, len(rows[0])))
    yield from (f"{name}: gain {gain}" for name, gain in found["gains"])
