"""A run's model in files for others: safetensors with a card, ONNX, torch.export."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch

from avcorr.configs.load import load_config
from avcorr.configs.schema import Config
from avcorr.files import local_path, read_file, write_atomically
from avcorr.lock import locked
from avcorr.model.evaluation.evaluation_folder import list_evaluations, read_evaluation
from avcorr.model.saving.checkpoint import load_model
from avcorr.model.saving.export import export_onnx, export_programs
from avcorr.model.saving.weights import CARD, write_weights
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.shards.store import Root

from .requirements import require_rate, version_of
from .run_folder import saved_config, trained_videos


class Exported(NamedTuple):
    """What was written."""

    weights: Path
    """Folder of safetensors, configuration and card."""
    step: int
    differences: dict[Path, float]
    """Of each ONNX or torch.export file: by how much, at most, what it gives differs from what the model gives."""
    compared_on: str


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    onnx: str | Path | None = None,
    programs: str | Path | None = None,
    shards: Root | None = None,
    best: bool = False,
) -> Exported:
    """Write weights and a card into a folder, by default RUN/model, and what else has a folder, the card beside it.

    Raises Error when there is no model, a package is missing, or an exported file differs from the model.

    Args:
        onnx: folder for image.onnx, audio.onnx and pair.onnx.
        programs: folder for the same as torch.export programs.
        shards: dataset on whose clips they are compared with the model; None: on noise.

    Example:
        >>> avcorr.export("runs/a", "exported").step
        6
        >>> avcorr.load("exported").step
        6
    """
    folder = local_path(run)
    weights = local_path(out or folder / "model")
    others = {write: local_path(place) for place, write in ((onnx, export_onnx), (programs, export_programs)) if place}
    config = load_config(saved_config(folder))
    with ExitStack() as stack:
        for place in sorted({place.absolute() for place in (weights, *others.values())}):
            stack.enter_context(locked(place, "exported into", "name another folder"))
        return _export(folder, weights, config, others, shards, best)


def _export(
    folder: Path,
    out: Path,
    config: Config,
    others: Mapping[Callable[..., dict[str, float]], Path],
    shards: Root | None,
    best: bool,
) -> Exported:
    model, saved, step = load_model(folder, torch.device("cpu"), best=best)
    weights = write_weights(out, model, saved, _facts(folder, step))
    if shards:
        gallery = Gallery(
            shards, config.eval.split, views_per_clip=1, seed=config.eval.seed,
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
    differences = {
        place / name: difference
        for write, place in others.items()
        for name, difference in write(model, place, frames, audio).items()
    }  # fmt: skip
    for place in {path.parent for path in differences}:  # the card says how to scale, crop and resample
        write_atomically(place / CARD, read_file(weights / CARD, 1 << 20))
    return Exported(weights, step, differences, what)


def _facts(run: Path, step: int) -> dict[str, Any]:
    """Return what a model card tells of a run; what was evaluated at another step is left out."""
    facts: dict[str, Any] = {"step": step, "versions": {name: version_of(name) for name in ("torch", "torchvision")}}
    for evaluation in map(read_evaluation, list_evaluations(run)):
        if evaluation["step"] == step:
            facts |= {"evaluation": evaluation, "dataset": evaluation["run"].get("dataset") or "unknown"}
            break
    if (run / "videos.json").is_file():
        facts["train_videos"] = len(trained_videos(run))
    return facts
