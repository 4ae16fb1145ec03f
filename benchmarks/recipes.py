"""Train recipes side by side on one dataset, with the same number of pairs and several seeds, and measure each.

    python benchmarks/recipes.py ROOT --runs DIR [--recipes vggsound,l3net,avenet,strong] [--seeds 3] [--steps 180]

Each run is `run.py train` and `run.py eval` with configs/<recipe>.yaml at the size of the quickstart: frames of 64
pixels, its spectrogram of 64 x 24, batches of 64, `--steps` steps. A recipe may carry changes:
`strong+train.objective=sigmoid`. Runs that are there already are not made again. Held-out AVC accuracy, its deviation
over the seeds, recall of the label in the first result, parameters, GFLOP forward a pair, pairs/s.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.configs.load import load_config
from avcorr.model.correspondence import build_model
from avcorr.model.training.flops import forward_flops

HERE = Path(__file__).parents[1]
QUICK = {
    "pairs.frame_size": "64", "pairs.block_clips": "0", "pairs.workers": "1", "train.batch_size": "64",
    "train.log_every": "10", "train.checkpoint_every": "60", "eval.views_per_clip": "5",
    "model.spectrogram.window": "1024", "model.spectrogram.hop": "640", "model.spectrogram.transform": "0",
    "model.spectrogram.mel_bins": "64",
}  # fmt: skip
DIRECTIONS = ("image_to_audio", "audio_to_image")
ONE_DEVICE = {"strong": {"train.warmup_steps": "10"}}
"""What a recipe of 400,000 steps needs at a few hundred: a warm-up as long as the quickstart's."""


def options(recipe: str, steps: int, seed: int) -> list[str]:
    """Return the words of the command line that describe a run."""
    name, *changes = recipe.split("+")
    values = QUICK | {"train.steps": str(steps), "train.seed": str(seed)}
    values |= ONE_DEVICE.get(name, {}) | dict(change.split("=", 1) for change in changes)
    settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    return ["--config", str(HERE / "configs" / f"{name}.yaml"), *settings]


def run(root: Path, folder: Path, recipe: str, steps: int, seed: int) -> dict[str, Any]:
    """Train and evaluate, unless that is done; return the figures."""
    metrics = folder / "eval" / "recipe" / "metrics.json"
    if not metrics.exists():
        program = [sys.executable, str(HERE / "run.py")]
        train = [*program, "train", "--shards", str(root), "--run", str(folder), "--resume"]
        subprocess.run([*train, *options(recipe, steps, seed)], check=True)
        subprocess.run([*program, "eval", "--shards", str(root), "--run", str(folder), "--name", "recipe"], check=True)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {"eval": json.loads(metrics.read_text()), "train": lines}


def folder_name(recipe: str, seed: int) -> str:
    """Return the name of a run's folder."""
    return f"{recipe.replace('=', '_')}-{seed}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--recipes", default="vggsound,l3net,avenet,strong")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=180)
    arguments = parser.parse_args()
    rows = {
        recipe: [
            run(arguments.root, arguments.runs / folder_name(recipe, seed), recipe, arguments.steps, seed)
            for seed in range(arguments.seeds)
        ]
        for recipe in arguments.recipes.split(",")
    }
    print(f"{arguments.steps} steps of 64 pairs, {arguments.seeds} seeds\n")
    print("| recipe | AVC, % | image to audio, % | audio to image, % | parameters | GFLOP a pair | pairs/s |")
    print("|---|---|---|---|---|---|---|")
    for recipe, found in rows.items():
        print("| " + " | ".join([recipe, *columns(found, arguments.runs / folder_name(recipe, 0))]) + " |")


def recall_at_1(evaluation: dict[str, Any], direction: str) -> float:
    """Return recall of the label in the first result, and of the very clip where the shards hold no labels."""
    figures = evaluation["retrieval"][direction]
    return float(figures.get("recall_at_1", figures["instance_recall_at_1"]))


def columns(found: list[dict[str, Any]], folder: Path) -> list[str]:
    """Return the cells of a recipe's row."""
    avc = [100 * one["eval"]["avc"]["accuracy"] for one in found]
    spread = f" +- {statistics.stdev(avc):.1f}" if len(avc) > 1 else ""
    recall = [
        f"{100 * statistics.mean(recall_at_1(one['eval'], way) for one in found):.1f}"
        if all(way in one["eval"]["retrieval"] for one in found) else "no shared space"
        for way in DIRECTIONS
    ]  # fmt: skip
    rate = statistics.median(line["pairs_per_second"] for one in found for line in one["train"])
    config = load_config(folder / "config.yaml", [])
    model = build_model(config.model, 0)
    size = sum(parameter.numel() for parameter in model.parameters())
    flops = forward_flops(model, config.pairs.frame_size, config.model.spectrogram.sample_rate)
    return [f"{statistics.mean(avc):.1f}{spread}", *recall, f"{size / 1e6:.1f} M", f"{flops / 1e9:.2f}", f"{rate:.0f}"]


if __name__ == "__main__":
    main()
