"""What each ingredient of configs/strong.yaml is worth: it is left out, or another is added, at equal compute.

    python benchmarks/ablation.py ROOT --runs DIR [--seeds 3] [--steps 180] [--only warm-up,sigmoid]

Each run is one of benchmarks/recipes.py: the same shards, towers, frames and number of encoded pairs. Every row is set
against `strong` seed by seed, because runs of one seed see the same clips in the same order: mean difference and its
standard error. "more than noise" means further from 0 than two of these. Runs that are there are not made again, so the
command may be ended and given again, and the first seed of all rows may be had before the others (--seeds 1).
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from recipes import DIRECTIONS, folder_name, recall_at_1, run

ROWS = {
    "strong": "strong",
    "warm-up left out": "strong+train.warmup_steps=0",
    "cosine left out: constant rate": "strong+train.schedule=constant",
    "weight decay left out": "strong+train.weight_decay=0.0",
    "gradient clipping left out": "strong+train.gradient_clip=0.0",
    "strong augmentation for standard": "strong+train.augment=strong",
    "all augmentation left out": "strong+train.augment=none",
    "in-batch negatives left out: one a pair": "strong+train.objective=deranged",
    "sigmoid for InfoNCE": "strong+train.objective=sigmoid",
    "temperature 0.05": "strong+train.temperature=0.05",
    "temperature 0.1": "strong+train.temperature=0.1",
    "embeddings of 256": "strong+model.embedding_size=256",
    "the paper's run": "vggsound",
}


def figures(found: dict[str, Any]) -> list[float]:
    """Return AVC accuracy and, for both directions, recall in the first result, in per cent.

    Recall is that of the label, and of the very clip where the shards hold no labels.
    """
    recall = [recall_at_1(found["eval"], direction) for direction in DIRECTIONS]
    return [100.0 * value for value in (found["eval"]["avc"]["accuracy"], *recall)]


def difference(ours: list[float], base: list[float]) -> str:
    """Return the mean difference of runs with equal seeds, and its standard error."""
    differences = [one - other for one, other in zip(ours, base, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f"{mean:+.1f}"
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return f"{mean:+.1f} +- {error:.1f}" + (", more than noise" if abs(mean) > 2 * error else "")


def cells(rows: list[list[float]], base: list[list[float]], *, is_base: bool) -> list[str]:
    """Return a row's cells: mean and deviation of each figure over the seeds, and the difference from `strong`."""
    found = []
    for column in range(len(base[0])):
        values, others = [row[column] for row in rows], [row[column] for row in base]
        spread = f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        found.append(f"{statistics.mean(values):.1f}{spread}")
        if column < 2:
            found.append("" if is_base else difference(values, others))
    return found


def main() -> None:
    """Make the runs, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--only", default="", help="words of the rows to make, beside strong; default: all rows")
    arguments = parser.parse_args()
    words = [word for word in arguments.only.split(",") if word]
    chosen = {name: recipe for name, recipe in ROWS.items()
              if name == "strong" or not words or any(word in name for word in words)}  # fmt: skip
    found: dict[str, list[list[float]]] = {name: [] for name in chosen}
    for seed in range(arguments.seeds):
        for name, recipe in chosen.items():
            folder = arguments.runs / folder_name(recipe, seed)
            found[name].append(figures(run(arguments.root, folder, recipe, arguments.steps, seed)))
    print(f"{arguments.steps} steps of 64 pairs, {arguments.seeds} seeds; per cent, +- is the deviation over the seeds,"
          " of a difference its standard error\n")  # fmt: skip
    print("| | AVC | against strong | image to audio | against strong | audio to image |")
    print("|---|---|---|---|---|---|")
    for name, rows in found.items():
        print("| " + " | ".join([name, *cells(rows, found["strong"], is_base=name == "strong")]) + " |")


if __name__ == "__main__":
    main()
