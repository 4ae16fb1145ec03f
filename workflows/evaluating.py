"""A run on held-out clips: is it right about pairs, does it find what it looks for."""

import logging
from pathlib import Path

import numpy as np

from avcorr.configs.load import Overrides, load_config
from avcorr.configs.schema import Config
from avcorr.files import local_path
from avcorr.lock import locked
from avcorr.model.device import resolve_device
from avcorr.model.embedding.embed import embed
from avcorr.model.evaluation.evaluate import Evaluation, Plan
from avcorr.model.evaluation.evaluate import evaluate as measure
from avcorr.model.evaluation.evaluation_folder import require_name, write_evaluation
from avcorr.model.evaluation.pairing import Pairs, first_negatives
from avcorr.model.evaluation.relevance import SharedLabels
from avcorr.model.evaluation.sanity import Check, check_all
from avcorr.model.evaluation.scorer import scorer_of
from avcorr.model.saving.checkpoint import load_model
from avcorr.pipeline.correspondence.leakage import LeakageProbe
from avcorr.pipeline.correspondence.negatives import derange
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.pipeline.galleries.protocols import Protocol
from avcorr.retrieval.embed_dataset import digest_of
from avcorr.shards.index.facts import require_dataset
from avcorr.shards.store import Root
from avcorr.shards.stores.open import open_store

from .requirements import decoders, refuse_trained, require_rate, version_of
from .run_folder import saved_config, trained_videos

_MADE_BY = (
    "frames_per_second", "short_side", "jpeg_quality", "clip_seconds", "consecutive", "stride_seconds", "sample_rate",
    "audio_stream", "decoder", "skip_nonref",
)  # fmt: skip
"""Settings of shards on which the figures depend."""

logger = logging.getLogger(__name__)


def evaluate(
    run: str | Path, shards: Root, *, settings: Overrides = (), best: bool = False, name: str | None = None
) -> Evaluation:
    """Measure correspondence and retrieval on held-out clips, and write RUN/eval/NAME.

    The protocol is a setting: {"eval.protocol": "full/mean10"} (docs/evaluation.md). Returns the evaluation, whose
    `metrics` are what RUN/eval/NAME/metrics.json holds, and which prints as a table. Raises Error when run and dataset
    cannot be read or do not fit, or when the model was trained on a clip's video.

    Args:
        name: of the evaluation; one of the same name is replaced. None: of dataset, split and protocol.

    Example:
        >>> found = avcorr.evaluate("runs/a", "data/shards")
        >>> found.metrics["split"], found.metrics["clips"], 0 <= found.metrics["avc"]["accuracy"] <= 1
        ('test', 4, True)
    """
    folder = local_path(run)
    config = load_config(saved_config(folder), settings)
    with locked(folder / "eval", "written by an evaluation", "evaluate a copy of the run"):
        return _evaluate(folder, shards, config, best, name and require_name(name))


def _evaluate(folder: Path, shards: Root, config: Config, best: bool, name: str | None) -> Evaluation:
    chosen = config.eval
    trained = trained_videos(folder)
    store = open_store(shards)
    dataset = require_dataset(store)
    protocol = Protocol(chosen.protocol, chosen.gallery, chosen.seed)
    gallery = Gallery(
        store, chosen.split, views_per_clip=chosen.views_per_clip, seed=chosen.seed,
        frame_size=config.pairs.frame_size, window_seconds=config.pairs.window_seconds,
        pooling=protocol.pooling, choose=protocol.choose,
    )  # fmt: skip
    refuse_trained(gallery, trained, chosen.split, store.url)
    require_rate(gallery.sample_rate, config)
    device = resolve_device(config.train.device)
    model, _, step = load_model(folder, device, best=best)
    scorer = scorer_of(model, device)
    probe = LeakageProbe(gallery.drawn[:, 0])
    embeddings = embed(model, probe.of(gallery.batches(chosen.batch_size)), device)
    if gallery.too_short:
        logger.warning("%d clips are too short for a window and were left out", gallery.too_short)
    facts = {
        "step": step,
        "dataset": dataset.settings.get("name", "unknown"),
        "train_videos": len(trained),
        "left_out_too_short": gallery.too_short,
        "weights_sha256": digest_of(model),
        "shards": {name: value for name, value in dataset.settings.items() if name in _MADE_BY},
        "decoders": decoders(dataset),
        "versions": {name: version_of(name) for name in ("torch", "torchvision", "numpy", "scikit-learn")},
    }
    videos = np.array([clip.video for clip in gallery.clips])
    negatives = first_negatives(gallery.drawn, videos, chosen.seed, derange=derange)
    sample = next(iter(gallery.batches(32)))
    checks = check_all(model, sample, embeddings, negatives, videos, scorer, device, chosen.seed, derange=derange)
    perceived = protocol.perceived(gallery.clips)
    evaluation = measure(
        embeddings, gallery.clips, Plan(gallery.drawn, gallery.pooled), scorer, chosen, facts,
        relevance=SharedLabels(*perceived) if perceived else None, notes=protocol.notes,
        checks=[*checks, _leakage_check(probe, negatives)], derange=derange
    )  # fmt: skip
    media, crops = gallery.media(evaluation.wanted), gallery.crops(evaluation.located)
    path = write_evaluation(evaluation, folder, media, crops, name)
    logger.info("written: %s", path)
    return evaluation


def _leakage_check(probe: LeakageProbe, negatives: Pairs) -> Check:
    try:
        found = probe.find_leakage(negatives.frames, negatives.sounds)
    except PairError as error:
        return Check("leakage", None, str(error))
    sides = (f"{tried.side} alone {100 * tried.accuracy:.1f} % (p {tried.p_value:.2g})" for tried in found.attempts)
    return Check("leakage", not found.leaks, f"{', '.join(sides)} over {found.pairs} pairs, chance 50 %")
