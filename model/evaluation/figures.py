"""An evaluation's figures as texts, for its table and the report: each with its interval and its value at chance."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .retrieval import RANKS

NAMES = {"roc_auc": "ROC AUC", "average_precision": "Average precision", "calibration_error": "Calibration error (ECE)"}
TITLES = {"mrr": "MRR", "map": "mAP", "first_rank": "Median rank of the first"}
CLASSES_SHOWN = 12  # the worst and the best; of more classes the others are behind a click
MOST_CLASSES = 2000  # behind that click; metrics.json has them all
Metrics = Mapping[str, Any]


class Cell(NamedTuple):
    """A figure as text; interval and chance may be empty."""

    value: str
    interval: str = ""
    chance: str = ""

    def __str__(self) -> str:
        chance = f" ({self.chance})" if self.chance else ""
        return f"{self.value} [{self.interval}]{chance}" if self.interval else self.value


class Headline(NamedTuple):
    """A share that stands at the top, with what it is of."""

    name: str
    value: float
    interval: Sequence[float]
    chance: float
    of: str


def share(value: float) -> str:
    """Write a share in per cent; small ones, such as chance in a large gallery, keep two digits."""
    return f"{100 * value:.2g}" if 0 < value < 0.001 else f"{100 * value:.1f}"


def percent(value: float) -> str:
    """Write a share in per cent, with the sign."""
    return f"{share(value)} %"


def bounded(value: float, interval: Sequence[float], chance: float) -> Cell:
    """Write a share, its interval and its value at chance in per cent."""
    return Cell(percent(value), f"{share(interval[0])}–{share(interval[1])}", percent(chance))


def versions(found: Mapping[str, str] | None) -> str:
    """Write the names of packages with their versions."""
    return ", ".join(f"{name} {version}" for name, version in (found or {}).items()) or "unknown"


def headlines(metrics: Metrics) -> list[Headline]:
    """Return the accuracy, and how often a sound's first picture is of its class, or else its own."""
    avc = metrics["avc"]
    found = [
        Headline("AVC accuracy", avc["accuracy"], avc["interval"], avc["chance"], f"{avc['pairs']:,} balanced pairs")
    ]
    row = metrics["retrieval"]["audio_to_image"]
    for figure, name, count in (
        ("recall_at_1", "A sound finds its class first", "label_queries"),
        ("instance_recall_at_1", "A sound finds its own frame first", "gallery"),
    ):
        if figure in row:
            of = f"{row[count]:,} sounds, each among {row['gallery']:,} frames, its own too"
            return [*found, Headline(name, row[figure], row["interval"][figure], row["chance"][figure], of)]
    return found


def provenance(metrics: Metrics) -> list[tuple[str, str]]:
    """Name what every figure of the page depends on: protocol, gallery, seeds, decoders."""
    return [
        ("Protocol", metrics["protocol"]["name"]),
        ("Gallery", metrics["gallery_sha256"][:12]),
        ("Seeds", ", ".join(map(str, metrics["seeds"]))),
        ("Decoded by", versions((metrics.get("run") or {}).get("decoders"))),
    ]


def correspondence(metrics: Metrics) -> list[tuple[str, Cell]]:
    """Return the figures of all pairs: name, value."""
    avc = metrics["avc"]
    rows = [("Accuracy", bounded(avc["accuracy"], avc["interval"], avc["chance"]))]
    for name, words in NAMES.items():
        low, high = avc["intervals"][name]
        chance = f"{avc['chances'][name]:.3f}" if name in avc["chances"] else ""
        rows.append((words, Cell(f"{avc[name]:.3f}", f"{low:.3f}–{high:.3f}", chance)))
    return rows


def by_negative(metrics: Metrics) -> list[tuple[str, int, Cell, Cell, str]]:
    """Return a row for each kind of negative: name, pairs, accuracy, ROC AUC, share of negatives rejected."""
    rows = []
    for kind, row in metrics["avc"]["by_negative"].items():
        name = kind.replace("_", " ").capitalize()
        if not row["pairs"]:
            rows.append((name, 0, Cell("none"), Cell("none"), "none"))
            continue
        low, high = row["intervals"]["roc_auc"]
        area = Cell(f"{row['roc_auc']:.3f}", f"{low:.3f}–{high:.3f}", f"{row['chances']['roc_auc']:.3f}")
        accuracy = bounded(row["accuracy"], row["intervals"]["accuracy"], row["chances"]["accuracy"])
        rows.append((name, row["pairs"], accuracy, area, percent(row["negative_accuracy"])))
    return rows


def per_class(metrics: Metrics) -> dict[str, list[dict[str, Any]]]:
    """Return the classes from the best to the worst: "shown", and "others" where there are many."""
    rows = [{"label": label, **row} for label, row in metrics["avc"]["per_class"].items()]
    rows.sort(key=lambda row: (-row["accuracy"], row["label"]))
    if len(rows) <= 2 * CLASSES_SHOWN:
        return {"shown": rows, "others": []}
    others = rows[CLASSES_SHOWN:-CLASSES_SHOWN][:MOST_CLASSES]
    return {"shown": rows[:CLASSES_SHOWN] + rows[-CLASSES_SHOWN:], "others": others}


def retrieval(metrics: Metrics) -> dict[str, Any]:
    """Lay out retrieval: a column per direction, a row per figure; figures that a direction lacks are None."""
    rows = metrics["retrieval"]
    groups: dict[str, list[tuple[str, list[Cell | None]]]] = {"A clip of the same label": [], "The own clip": []}
    for figure in dict.fromkeys(name for row in rows.values() for name in row["chance"]):
        own = figure == "median_rank" or figure.startswith("instance_")
        plain = figure.removeprefix("instance_")
        name = TITLES.get(plain, plain.replace("_", " ").capitalize().replace("Ndcg", "nDCG"))
        cells = [_retrieved(figure, row) for row in rows.values()]
        groups["The own clip" if own else "A clip of the same label"].append((name, cells))
    return {
        "directions": [name.replace("_to_", " → ") for name in rows],
        "groups": [(title, group) for title, group in groups.items() if group],
        "counts": [
            ("Queries with a label", [f"{row['label_queries']:,}" for row in rows.values()]),
            ("Gallery", [f"{row['gallery']:,}" for row in rows.values()]),
        ],
        "gains": [
            (name.replace("_", " ").replace("ndcg", "nDCG"), gain)
            for name, gain in metrics["protocol"]["gains"].items()
            if any(name in row for row in rows.values())
        ],
    }


def _retrieved(figure: str, row: Mapping[str, Any]) -> Cell | None:
    if figure not in row:
        return None
    value, chance, (low, high) = row[figure], row["chance"][figure], row["interval"][figure]
    if figure in RANKS:
        return Cell(f"{value:,.0f}", f"{low:,.0f}–{high:,.0f}", f"{chance:,.0f}")
    return bounded(value, (low, high), chance)


def facts(history: Sequence[Mapping[str, Any]], metrics: Metrics | None) -> list[tuple[str, str]]:
    """Name what produced the page, for whoever wants to repeat it."""
    found: list[tuple[str, Any]] = []
    if history:
        found.append(("Last training step", history[-1]["step"]))
    if metrics is not None:
        run = dict(metrics.get("run") or {})
        packages, decoders, shards = (run.pop(name, None) or {} for name in ("versions", "decoders", "shards"))
        found += [("Evaluated step", metrics["step"]), ("Protocol", metrics["protocol"]["name"])]
        found.append(("Evaluation seeds", ", ".join(map(str, metrics["seeds"]))))
        found.append(("Gallery (SHA-256 of its keys)", metrics["gallery_sha256"]))
        found += [(key.replace("_", " ").capitalize(), value) for key, value in run.items() if key != "step"]
        found.append(("Labels (SHA-256)", metrics["labels_sha256"]))
        found.append(("Shards", ", ".join(f"{name} {value}" for name, value in shards.items()) or None))
        found += [(f"Decoded by {name}", version) for name, version in decoders.items()]
        found += [(f"Version of {name}", version) for name, version in packages.items()]
    return [
        (term, f"{value:,}" if isinstance(value, int) else str(value)) for term, value in found if value is not None
    ]
