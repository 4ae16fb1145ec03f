"""The probe: how much of the labels classifiers find in frozen embeddings."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from avcorr.configs.load import Overrides, load_config
from avcorr.errors import Error
from avcorr.files import local_path, require_writable, writing_to
from avcorr.model.device import resolve_device
from avcorr.model.embedding.embed import embed
from avcorr.model.embedding.embedder import Embedder
from avcorr.model.evaluation.esc50 import cross_validate, embed_sounds, read_folder
from avcorr.model.evaluation.evaluate import gallery_hash, pool
from avcorr.model.evaluation.probing import Items, held_out, with_both
from avcorr.model.saving.checkpoint import load_model
from avcorr.pipeline.galleries.gallery import Gallery, Pooling
from avcorr.shards.index.facts import require_dataset
from avcorr.shards.index.layout import write_json
from avcorr.shards.store import Root
from avcorr.shards.stores.open import open_store

from .requirements import decoders, refuse_trained, require_rate, version_of
from .run_folder import saved_config, trained_videos

logger = logging.getLogger(__name__)


def probe(
    run: str | Path, shards: Root, *, pooling: Pooling = "center", settings: Overrides = (), best: bool = False
) -> dict[str, Any]:
    """Classify clips of `eval.split` by label, as learnt from those of `pairs.split`; write RUN/eval/probe-shards.json.

    Each is judged by the view in its middle or by the mean of ten. Returns what the file holds. Raises Error when run
    and dataset do not fit, when a video is on both sides or was trained on, or with fewer than two labels.

    Example:
        >>> avcorr.probe("runs/a", "data/labelled")["protocol"]
        'shards/center'
    """
    place = local_path(run)
    config = load_config(saved_config(place), settings)
    require_writable(place)
    device = resolve_device(config.train.device)
    model, _, step = load_model(place, device, best=best)
    store, chosen = open_store(shards), config.eval
    judged, learnt = (
        Gallery(
            store, split, views_per_clip=0, seed=chosen.seed, frame_size=config.pairs.frame_size,
            window_seconds=config.pairs.window_seconds, pooling=pooling,
            choose=lambda clips: np.flatnonzero([clip.label != "" for clip in clips]),
        )
        for split in (chosen.split, config.pairs.split)
    )  # fmt: skip
    require_rate(judged.sample_rate, config)
    refuse_trained(judged, trained_videos(place), chosen.split, store.url)
    shared = {clip.video for clip in judged.clips} & {clip.video for clip in learnt.clips}
    if shared:
        raise Error(
            f"{len(shared)} source videos are both in {chosen.split!r} and in {config.pairs.split!r} of "
            f"{store.url}; a probe judges clips of videos that it did not learn from"
        )

    def items(gallery: Gallery) -> Items:
        logger.info("%d labelled clips, %d views", len(gallery.clips), len(gallery))
        views = embed(model, gallery.batches(chosen.batch_size), device, head_inputs=False)
        clips = pool(views, gallery.pooled)
        labels, videos = ([getattr(clip, name) for clip in gallery.clips] for name in ("label", "video"))
        return Items(with_both({"image": clips.image, "audio": clips.audio}), np.array(labels), np.array(videos))

    found = {
        **held_out(items(learnt), items(judged), chosen.bootstrap, chosen.seed),
        "gallery_sha256": gallery_hash(judged.clips),
        "decoders": decoders(require_dataset(store)),
    }
    return _written(place, "shards", step, pooling, chosen.seed, found)


def probe_esc50(
    run: str | Path, folder: str | Path, *, pooling: Pooling = "mean10", settings: Overrides = (), best: bool = False
) -> dict[str, Any]:
    """Classify the sounds of ESC-50, each fold as learnt from the others; write RUN/eval/probe-esc50.json.

    The folder has meta/esc50.csv and audio/. Returns what the file holds. Raises Error when it cannot be read.

    Example:
        >>> avcorr.probe_esc50("runs/a", "esc50")["protocol"]
        'esc50/mean10'
    """
    place, sounds_folder = local_path(run), local_path(folder)
    config = load_config(saved_config(place), settings)
    require_writable(place)
    device = resolve_device(config.train.device)
    model, saved, step = load_model(place, device, best=best)
    sounds = read_folder(sounds_folder)
    embedder = Embedder(model, saved, step, device)
    embedder.precision = torch.float32
    hidden = None if logger.isEnabledFor(logging.INFO) else True  # None: where stderr is no terminal
    with tqdm(total=len(sounds), unit="sound", disable=hidden, desc="probe") as bar:
        vectors = embed_sounds(embedder, sounds, 10 if pooling == "mean10" else 1, bar.update)
    found = {
        **cross_validate(sounds, vectors, config.eval.bootstrap, config.eval.seed),
        "decoders": {"soundfile": version_of("soundfile"), "scipy": version_of("scipy")},
    }
    return _written(place, "esc50", step, pooling, config.eval.seed, found)


def _written(run: Path, kind: str, step: int, pooling: Pooling, seed: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write a result into RUN/eval and return it with what it is of."""
    result = {"name": kind, "step": step, "protocol": f"{kind}/{pooling}", "seed": seed, **found}
    path = run / "eval" / f"probe-{kind}.json"
    with writing_to(run):
        write_json(path, result)
    logger.info("written: %s", path)
    return result
