"""Train the correspondence model on a stream of pairs."""

import argparse
import json
import logging
from pathlib import Path

from avcorr.configs.load import check_config, dump_config, load_config
from avcorr.model.correspondence import build_model
from avcorr.model.device import resolve_device
from avcorr.model.saving.checkpoint import latest_checkpoint, list_checkpoints, require_same_config
from avcorr.model.training.distributed import joined, named
from avcorr.model.training.trainer import fit
from avcorr.pipeline.correspondence.negatives import derange
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.shards.dataset import Dataset
from avcorr.shards.index.layout import write_atomically
from avcorr.workflows.opening import open_cached
from avcorr.workflows.requirements import require_rate

from .errors import CommandError

logger = logging.getLogger(__name__)


_FREE_ON_RESUME = (
    "shard", "eval", "pairs.workers", "pairs.decode", "train.checkpoint_every", "train.log_every", "train.board_every",
    "train.wandb", "train.keep_checkpoints", "train.plateau_steps", "train.device", "train.compile",
)  # fmt: skip
"""Settings that may change when a run goes on; the number of steps too, unless the schedule depends on it."""


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.run
    processes = named()
    if not processes.is_first:
        logging.getLogger().setLevel(logging.ERROR)  # the first process speaks for all
        logging.getLogger("avcorr.model").setLevel(logging.ERROR)
        logger.setLevel(logging.ERROR)
    resumes = arguments.resume and bool(list_checkpoints(folder))
    if list_checkpoints(folder) and not resumes:
        raise CommandError(
            f"{folder} holds checkpoints of an earlier training; go on with --resume or give another --run"
        )
    saved = folder / "config.yaml"
    path = saved if arguments.resume and arguments.config is None and saved.exists() else arguments.config
    config = load_config(path, arguments.set)
    start = latest_checkpoint(folder) if resumes else None
    if start:
        # What an older checkpoint does not name was the default.
        saved_settings = check_config(start.config, f"the checkpoint of step {start.step}")
        start = start._replace(config=saved_settings.model_dump())
        free = _FREE_ON_RESUME + (("train.steps",) if config.train.schedule != "cosine" else ())
        require_same_config(start, config.model_dump(), free=free)
        logger.info("going on at step %d of %d", start.step, config.train.steps)
    store = open_cached(arguments.shards, arguments.cache, arguments.cache_gb)
    dataset = PairDataset(
        store, config.pairs, batch_size=config.train.batch_size, seed=config.train.seed,
        rank=processes.rank, ranks=processes.ranks, start=start.step if start else 0,
    )  # fmt: skip
    require_rate(dataset.catalogue.sample_rate, config)
    device = resolve_device(config.train.device, processes.local_rank)
    loader = MomentLoader(dataset, device=device)
    sequence = folder / "pairs.json"
    if start and sequence.exists():
        loader.load_state_dict(json.loads(sequence.read_bytes()) | {"step": start.step})
    if processes.is_first:
        write_atomically(sequence, json.dumps(loader.state_dict()).encode())
        videos = sorted(set(Dataset(store).clips(splits=[config.pairs.split]).texts("video")))
        write_atomically(folder / "videos.json", json.dumps(videos).encode())
        write_atomically(saved, dump_config(config).encode())
    with joined(processes, device) as processes:
        summary = fit(
            build_model(config.model, config.train.seed), loader, config.train, folder,
            config=config.model_dump(), start=start, device=device, processes=processes, derange=derange
        )  # fmt: skip
    if processes.is_first:
        done = "" if summary.loss is None else f", loss {summary.loss:.4f}, accuracy {summary.accuracy:.3f}"
        print(f"step {summary.step}{done}: {summary.checkpoint}")
    return 0
