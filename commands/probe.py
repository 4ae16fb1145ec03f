"""Classify frozen embeddings by label: clips of the shards, or ESC-50's sounds."""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from avcorr.configs.load import load_config
from avcorr.model.device import resolve_device
from avcorr.model.embedding.embed import embed
from avcorr.model.embedding.embedder import Embedder
from avcorr.model.evaluation.esc50 import cross_validate, embed_sounds, read_folder
from avcorr.model.evaluation.evaluate import gallery_hash, pool
from avcorr.model.evaluation.probing import Items, held_out, table, with_both
from avcorr.model.saving.checkpoint import load_model
from avcorr.pipeline.galleries.gallery import Gallery, Pooling
from avcorr.shards.index.facts import require_dataset
from avcorr.shards.index.layout import write_json
from avcorr.workflows.opening import open_cached
from avcorr.workflows.requirements import decoders, refuse_trained, require_rate
from avcorr.workflows.run_folder import saved_config, trained_videos
from avcorr.workflows.versions import version_of

from .errors import CommandError

logger = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.run
    config = load_config(saved_config(folder), arguments.set)
    device = resolve_device(config.train.device)
    model, saved, step = load_model(folder, device, best=arguments.best)
    kind = "esc50" if arguments.esc50 else "shards"
    pooling: Pooling = arguments.pooling or ("mean10" if arguments.esc50 else "center")
    if arguments.esc50:
        result = _probe_esc50(arguments.esc50, pooling, model, saved, step, device, config.eval)
    else:
        result = _probe_shards(arguments, pooling, model, device, config)
    result = {"name": kind, "step": step, "protocol": f"{kind}/{pooling}", "seed": config.eval.seed, **result}
    path = folder / "eval" / f"probe-{kind}.json"
    write_json(path, result)
    print(table(result))
    logger.info("written: %s", path)
    return 0


def _probe_shards(
    arguments: argparse.Namespace, pooling: Pooling, model: Any, device: Any, config: Any
) -> dict[str, Any]:
    store, settings = open_cached(arguments.shards, arguments.cache, arguments.cache_gb), config.eval
    judged, learnt = (
        Gallery(
            store, split, views_per_clip=0, seed=settings.seed, frame_size=config.pairs.frame_size,
            window_seconds=config.pairs.window_seconds, pooling=pooling,
            choose=lambda clips: np.flatnonzero([clip.label != "" for clip in clips]),
        )
        for split in (settings.split, config.pairs.split)
    )  # fmt: skip
    require_rate(judged.sample_rate, config)
    refuse_trained(judged, trained_videos(arguments.run), settings.split, arguments.shards)
    shared = {clip.video for clip in judged.clips} & {clip.video for clip in learnt.clips}
    if shared:
        raise CommandError(
            f"{len(shared)} source videos are both in {settings.split!r} and in {config.pairs.split!r} of "
            f"{arguments.shards}; a probe judges clips of videos that it did not learn from"
        )

    def items(gallery: Gallery) -> Items:
        logger.info("%d labelled clips, %d views", len(gallery.clips), len(gallery))
        views = embed(model, gallery.batches(settings.batch_size), device, head_inputs=False)
        clips = pool(views, gallery.pooled)
        labels, videos = ([getattr(clip, name) for clip in gallery.clips] for name in ("label", "video"))
        return Items(with_both({"image": clips.image, "audio": clips.audio}), np.array(labels), np.array(videos))

    return {
        **held_out(items(learnt), items(judged), settings.bootstrap, settings.seed),
        "gallery_sha256": gallery_hash(judged.clips),
        "decoders": decoders(require_dataset(store)),
    }


def _probe_esc50(
    folder: Path, pooling: str, model: Any, config: Any, step: int, device: Any, settings: Any
) -> dict[str, Any]:
    sounds = read_folder(folder)
    embedder = Embedder(model, config, step, device)
    embedder.precision = torch.float32
    with tqdm(total=len(sounds), unit="sound", disable=None, desc="probe") as bar:
        vectors = embed_sounds(embedder, sounds, 10 if pooling == "mean10" else 1, bar.update)
    versions = {"soundfile": version_of("soundfile"), "scipy": version_of("scipy")}
    return {**cross_validate(sounds, vectors, settings.bootstrap, settings.seed), "decoders": versions}
