"""Lay out an evaluation as text: every figure with its number of items, its interval and its value at chance."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from .retrieval import RANKS

RED, PLAIN = "\x1b[31m", "\x1b[0m"
CLASSES_SHOWN = 12
WIDTH = 30  # of a column of retrieval
NAMES = {"roc_auc": "ROC AUC", "average_precision": "average precision", "calibration_error": "calibration error (ECE)"}


def table(metrics: Mapping[str, Any], *, colour: bool = False) -> str:
    """Return the metrics as plain text, failed checks above all; colour: write those in red."""
    return "\n".join(
        [*_failures(metrics, colour), *_header(metrics), "", *_avc(metrics["avc"]), "", *_retrieval(metrics)]
    )


def share(value: float) -> str:
    """Write a share in per cent; small ones, such as chance in a large gallery, keep two digits."""
    return f"{100 * value:.2g}" if 0 < value < 0.001 else f"{100 * value:.1f}"


def bounded(value: float, interval: Sequence[float], chance: float | None = None) -> str:
    """Write a share in per cent with its interval and its value at chance: 81.9 [80.1 83.5] (50.0)."""
    low, high = interval
    text = f"{share(value)} [{share(low)} {share(high)}]"
    return text if chance is None else f"{text} ({share(chance)})"


def versions(found: Mapping[str, str] | None) -> str:
    """Write the names of packages with their versions."""
    return ", ".join(f"{name} {version}" for name, version in (found or {}).items()) or "unknown"


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lay out rows of texts in columns as wide as their longest; those whose numbers are in `right` end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        padded = [
            cell.rjust(width) if place in right else cell.ljust(width) for place, (cell, width) in enumerate(cells)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _failures(metrics: Mapping[str, Any], colour: bool) -> Iterator[str]:
    start, end = (RED, PLAIN) if colour else ("", "")
    for check in metrics.get("sanity", []):
        if check["passed"] is False:
            yield f"{start}FAILED: {check['name']}: {check['detail']}; do not trust what follows{end}"


def _header(metrics: Mapping[str, Any]) -> Iterator[str]:
    protocol, checks = metrics["protocol"], metrics.get("sanity", [])
    yield (
        f"{metrics['split']} split, step {metrics['step']}: {metrics['clips']} clips of {metrics['videos']} videos, "
        f"{metrics['views']} views, {metrics['classes']} classes"
    )
    yield (
        f"protocol {protocol['name']}, gallery {metrics['gallery_sha256'][:12]}, seeds "
        f"{', '.join(map(str, metrics['seeds']))} (retrieval {metrics['seed']})"
    )
    yield f"decoded by {versions(metrics['run'].get('decoders'))}"
    yield from (f"note: {note}" for note in protocol["notes"])
    made = [check for check in checks if check["passed"] is not None]
    if checks:
        yield f"checks: {sum(check['passed'] for check in made)} of {len(made)} passed"
    yield from (f"not checked: {check['name']}: {check['detail']}" for check in checks if check["passed"] is None)


def _avc(avc: Mapping[str, Any]) -> Iterator[str]:
    low, high = map(share, avc["interval"])
    interval = f"95 % interval {low} to {high} %, chance 50.0 %, {avc['pairs']} pairs"
    yield f"AVC accuracy {share(avc['accuracy'])} %  ({interval})"
    by_seed = ", ".join(share(value) for value in avc["seeds"].values())
    positive, negative = share(avc["positive_accuracy"]), share(avc["negative_accuracy"])
    yield f"  by seed {by_seed}; positive pairs {positive} %, negative pairs {negative} %"
    for name, words in NAMES.items():
        low, high = avc["intervals"][name]
        chance = f"chance {avc['chances'][name]:.3f}" if name in avc["chances"] else "0 is perfect"
        yield f"  {words} {avc[name]:.3f}  ({low:.3f} to {high:.3f}, {chance}, {avc['pairs']} pairs)"
    best = avc["diagnostic"]
    yield (
        f"  best threshold {best['best_threshold']:.3f} gives {share(best['best_threshold_accuracy'])} % on these very "
        f"pairs (diagnostic; the model's is {avc['threshold']:.3f})"
    )
    heads = ("accuracy, %", "ROC AUC", "negatives rejected, %")
    yield "by negative (chance)".ljust(28) + "".join(head.rjust(28) for head in heads)
    for kind, row in avc["by_negative"].items():
        name = f"{kind.replace('_', ' ')} ({row['pairs']} pairs)".ljust(28)
        if not row["pairs"]:
            yield name + "-".rjust(28)
            continue
        low, high = row["intervals"]["roc_auc"]
        cells = [
            bounded(row["accuracy"], row["intervals"]["accuracy"], row["chances"]["accuracy"]),
            f"{row['roc_auc']:.3f} [{low:.3f} {high:.3f}] ({row['chances']['roc_auc']:.3f})",
            share(row["negative_accuracy"]),
        ]
        yield name + "".join(cell.rjust(28) for cell in cells)
    yield from _classes(avc["per_class"])


def _classes(classes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    order = sorted(classes, key=lambda label: (classes[label]["accuracy"], label))
    shown = order if len(order) <= CLASSES_SHOWN else order[: CLASSES_SHOWN // 2] + order[-CLASSES_SHOWN // 2 :]
    if shown:
        which = "" if len(shown) == len(order) else f", the {len(shown)} worst and best of {len(order)}"
        yield f"by class of the frame, accuracy in % (chance 50.0){which}"
    for label in shown:
        row = classes[label]
        yield f"  {label}: {bounded(row['accuracy'], row['interval'])}, {row['pairs']} pairs of {row['videos']} videos"


def _retrieval(metrics: Mapping[str, Any]) -> Iterator[str]:
    rows: Sequence[Mapping[str, Any]] = list(metrics["retrieval"].values())
    yield "retrieval, % [95 % interval] (chance)"
    yield " " * 24 + "".join(name.replace("_", " ").rjust(WIDTH) for name in metrics["retrieval"])
    for name in dict.fromkeys(name for row in rows for name in row["chance"]):
        yield name.replace("_", " ").ljust(24) + "".join(_cell(name, row).rjust(WIDTH) for row in rows)
    counts = (f"{row['label_queries']} / {row['gallery']}" for row in rows)
    yield "label queries / gallery".ljust(24) + "".join(count.rjust(WIDTH) for count in counts)
    for name, gain in metrics["protocol"]["gains"].items():
        if any(name in row for row in rows):
            yield f"{name.replace('_', ' ')}: gain {gain}"


def _cell(name: str, row: Mapping[str, Any]) -> str:
    if name not in row:
        return "-"
    value, chance = row[name], row["chance"][name]
    if name in RANKS:
        low, high = row["interval"][name]
        return f"{value:.0f} [{low:.0f} {high:.0f}] ({chance:.0f})"
    return bounded(value, row["interval"][name], chance)
