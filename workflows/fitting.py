"""Pairs from shards into a trained model."""

import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from avcorr.configs.load import ConfigError, Overrides, Recipe, check_config, dump_config, load_config
from avcorr.configs.schema import Config
from avcorr.errors import Error
from avcorr.files import local_path, write_atomically
from avcorr.lock import locked
from avcorr.model.correspondence import build_model
from avcorr.model.device import memory_explained, resolve_device
from avcorr.model.errors import CheckpointError
from avcorr.model.saving.checkpoint import latest_checkpoint, list_checkpoints, require_same_config
from avcorr.model.training.distributed import Processes, joined, named
from avcorr.model.training.trainer import Summary, fit
from avcorr.pipeline.correspondence.negatives import derange_batch
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.shards.dataset import Dataset
from avcorr.shards.store import Root

from .requirements import require_rate
from .run_folder import session

logger = logging.getLogger(__name__)

LARGE_SHARE = 0.5
"""Share of silent or still clips from which on a training warns."""
_FREE_ON_RESUME = (
    "shard", "eval", "pairs.workers", "pairs.timeout_seconds", "pairs.decode", "train.checkpoint_every",
    "train.log_every", "train.board_every", "train.wandb", "train.keep_checkpoints", "train.plateau_steps",
    "train.device", "train.compile",
)  # fmt: skip
"""Settings that may change when a run goes on; the number of steps too, unless the schedule depends on it."""


def train(
    shards: Root, run: str | Path, *, config: Recipe = None, settings: Overrides = (), resume: bool = False
) -> Summary:
    """Train a model on pairs and leave checkpoints, metrics and how it was made in a folder.

    Under torchrun each process calls it alike, and the first one writes. Ctrl-C and signals that end programs (SIGTERM,
    SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2) end it after the step in hand, which is saved, with a KeyboardInterrupt.

    Args:
        run: the folder; a new one unless `resume` is given.
        config: None for that of a run that goes on. Its section `shard` gives way to the dataset's own settings.
        resume: go on from the newest checkpoint, if there is one.

    Returns:
        The last step with its loss and accuracy, None where no step was left to do, and its checkpoint.

    Raises:
        Error: for settings or a dataset that cannot be used or do not fit the run, or a loss that is not finite.

    Example:
        >>> done = avcorr.train("data/shards", "runs/new", config="tiny.yaml", settings={"train.steps": 2})
        >>> done.step, done.checkpoint.name
        (2, 'step-00000002.pt')
    """
    folder, processes = local_path(run), named()
    saved = folder / "config.yaml"
    chosen = load_config(saved if resume and config is None and saved.exists() else config, settings)
    device = resolve_device(chosen.train.device, processes.local_rank)
    recipe = "a configuration" if isinstance(config, Config) else config
    given = {"config": recipe, "settings": settings, "resume": resume}
    with ExitStack() as stack:
        if processes.is_first:  # the others meet it once it has the lock
            lock = locked(folder, "trained", "give another --run", wait=resume, then="go on with --resume")
            stack.enter_context(lock)
        return _train(shards, folder, chosen, given, device, stack.enter_context(joined(processes, device)))


def _train(
    shards: Root, folder: Path, chosen: Config, given: Mapping[str, Any], device: torch.device, processes: Processes
) -> Summary:
    checkpoints = list_checkpoints(folder)
    if checkpoints and not given["resume"]:
        raise Error(f"{folder} holds checkpoints of an earlier training; go on with --resume or give another --run")
    start = latest_checkpoint(folder) if checkpoints else None
    if start:
        # What an older checkpoint does not name was the default.
        saved_settings = check_config(start.config, f"the checkpoint of step {start.step}")
        start = start._replace(config=saved_settings.model_dump())
        free = _FREE_ON_RESUME + (("train.steps",) if chosen.train.schedule != "cosine" else ())
        require_same_config(start, chosen.model_dump(), free=free)
        logger.info("going on at step %d of %d", start.step, chosen.train.steps)
    opened = Dataset(shards)
    first_step = start.step if start else 0
    dataset = PairDataset(
        opened.store, chosen.pairs, batch_size=chosen.train.batch_size, seed=chosen.train.seed,
        rank=processes.rank, ranks=processes.ranks, start=first_step,
    )  # fmt: skip
    require_rate(dataset.catalogue.sample_rate, chosen)
    chosen = _with_settings_of(opened, chosen)
    loader = MomentLoader(dataset, device=device)
    if start:
        sequence = start.facts.get("sequence")
        if not isinstance(sequence, dict):
            raise CheckpointError(
                f"the checkpoint of step {start.step} does not say which pairs it has seen; train in a new run folder"
            )
        loader.load_state_dict(sequence | {"step": start.step})
    if processes.is_first:
        write_atomically(folder / "videos.json", json.dumps(_videos(opened, chosen.pairs.split)).encode())
        write_atomically(folder / "config.yaml", dump_config(chosen).encode())
    facts = {"arguments": {"shards": opened.store.url, **given}, "device": str(device), "processes": processes.ranks}
    with (
        session(folder if processes.is_first else None, facts | {"from_step": first_step}),
        memory_explained(
            f"train.batch_size (now {chosen.train.batch_size}) or pairs.frame_size (now {chosen.pairs.frame_size})"
        ),
    ):
        return fit(
            build_model(chosen.model, chosen.train.seed), loader, chosen.train, folder,
            config=chosen.model_dump(), facts={"sequence": loader.state_dict()}, start=start, device=device,
            processes=processes, derange=derange_batch
        )  # fmt: skip


def _videos(dataset: Dataset, split: str) -> list[str]:
    """Return the source videos of a split, sorted; warn where most clips have nothing to learn from."""
    videos, flagged, shards = set[str](), dict.fromkeys(("silent", "still"), 0), dataset.of_split(split)
    for table in dataset.tables(shards, "video", *flagged):
        videos.update(table.texts("video"))
        for flag in flagged:
            flagged[flag] += int(table[flag].sum())
    shares = {flag: count / sum(shard.clips for shard in shards) for flag, count in flagged.items()}
    if max(shares.values()) > LARGE_SHARE:
        found = " and ".join(f"{share:.0%} are {flag}" for flag, share in shares.items() if share > LARGE_SHARE)
        logger.warning(
            "of the clips in %r %s, as their flags say: little can be learned from them; avcorr inspect %s shows some",
            split, found, dataset.store.url,
        )  # fmt: skip
    return sorted(videos)


def _with_settings_of(dataset: Dataset, config: Config) -> Config:
    """Return the configuration with the settings that a dataset was made with, where it knows them and they fit."""
    recorded = dataset.facts.settings
    try:
        return load_config(config, {f"shard.{name}": value for name, value in recorded.items()})
    except ConfigError as error:
        logger.warning("the run's configuration does not have the dataset's own settings: %s", error)
        return config
