"""Write a model for others: safetensors with a card, ONNX, torch.export."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from avcorr.configs.load import load_config
from avcorr.model.saving.checkpoint import load_model
from avcorr.model.saving.export import export_onnx, export_programs
from avcorr.model.saving.weights import write_weights
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.workflows.opening import open_cached
from avcorr.workflows.requirements import require_rate
from avcorr.workflows.run_folder import saved_config, trained_videos
from avcorr.workflows.versions import version_of


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.run
    config = load_config(saved_config(folder))
    model, saved, step = load_model(folder, torch.device("cpu"), best=arguments.best)
    out: Path = arguments.out or folder / "model"
    print(f"{write_weights(out, model, saved, _facts(folder, step))}: weights, configuration and card of step {step}")
    if arguments.shards:
        store = open_cached(arguments.shards, arguments.cache, arguments.cache_gb)
        gallery = Gallery(
            store, config.eval.split, views_per_clip=1, seed=config.eval.seed,
            frame_size=config.pairs.frame_size, window_seconds=config.pairs.window_seconds,
        )  # fmt: skip
        require_rate(gallery.sample_rate, config)
        views = next(iter(gallery.batches(8)))
        frames, audio, what = views.frames, views.audio, f"{len(views.frames)} clips"
    else:
        generator = torch.Generator().manual_seed(0)
        size, samples = config.pairs.frame_size, round(config.pairs.window_seconds * config.shard.sample_rate)
        frames = torch.randint(256, (4, size, size, 3), generator=generator, dtype=torch.uint8)
        audio = torch.randint(-9000, 9000, (4, samples), generator=generator, dtype=torch.int16)
        what = "noise; --shards compares on clips"
    for place, write in ((arguments.onnx, export_onnx), (arguments.torch, export_programs)):
        for name, difference in (write(model, place, frames, audio) if place else {}).items():
            print(f"{place / name}: differs from the model by {difference:.1g} at most on {what}")
    return 0


def _facts(run: Path, step: int) -> dict[str, Any]:
    """Return what a model card tells of a run; what was evaluated at another step is left out."""
    facts: dict[str, Any] = {"step": step, "versions": {name: version_of(name) for name in ("torch", "torchvision")}}
    measured = run / "eval" / "metrics.json"
    if measured.is_file():
        evaluation = json.loads(measured.read_bytes())
        if evaluation["step"] == step:
            facts |= {"evaluation": evaluation, "dataset": evaluation["run"].get("dataset", "unknown")}
    if (run / "videos.json").is_file():
        facts["train_videos"] = len(trained_videos(run))
    return facts
