"""Measure accuracy and retrieval on held-out clips."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np

from avcorr.configs.load import load_config
from avcorr.model.device import resolve_device
from avcorr.model.embedding.embed import embed
from avcorr.model.evaluation.evaluate import Plan, evaluate, write_evaluation
from avcorr.model.evaluation.network_scorer import scorer_of
from avcorr.model.evaluation.pairing import first_negatives
from avcorr.model.evaluation.relevance import SharedLabels
from avcorr.model.evaluation.sanity import Check, check_all
from avcorr.model.evaluation.table import table
from avcorr.model.saving.checkpoint import load_model
from avcorr.pipeline.correspondence.leakage import LeakageProbe
from avcorr.pipeline.correspondence.negatives import exchange
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.pipeline.galleries.protocols import Protocol
from avcorr.shards.index.facts import require_dataset
from avcorr.workflows.opening import open_cached
from avcorr.workflows.requirements import decoders, refuse_trained, require_rate
from avcorr.workflows.run_folder import saved_config, trained_videos
from avcorr.workflows.versions import version_of

logger = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.run
    config = load_config(saved_config(folder), [*arguments.set, *_protocol_settings(arguments)])
    settings = config.eval
    trained = trained_videos(folder)
    store = open_cached(arguments.shards, arguments.cache, arguments.cache_gb)
    dataset = require_dataset(store)
    protocol = Protocol(settings.protocol, settings.gallery, settings.seed)
    gallery = Gallery(
        store, settings.split, views_per_clip=settings.views_per_clip, seed=settings.seed,
        frame_size=config.pairs.frame_size, window_seconds=config.pairs.window_seconds,
        pooling=protocol.pooling, choose=protocol.choose,
    )  # fmt: skip
    refuse_trained(gallery, trained, settings.split, arguments.shards)
    require_rate(gallery.sample_rate, config)
    device = resolve_device(config.train.device)
    model, _, step = load_model(folder, device, best=arguments.best)
    scorer = scorer_of(model, device)
    probe = LeakageProbe(gallery.drawn[:, 0])
    embeddings = embed(model, probe.of(gallery.batches(settings.batch_size)), device)
    if gallery.too_short:
        logger.warning("%d clips are too short for a window and were left out", gallery.too_short)
    facts = {
        "step": step,
        "dataset": dataset["settings"]["name"],
        "train_videos": len(trained),
        "left_out_too_short": gallery.too_short,
        "decoders": decoders(dataset),
        "versions": {name: version_of(name) for name in ("torch", "torchvision", "numpy", "scikit-learn")},
    }
    videos = np.array([clip.video for clip in gallery.clips])
    negatives = first_negatives(gallery.drawn, videos, settings.seed, permute=exchange)
    sample = next(iter(gallery.batches(32)))
    checks = check_all(model, sample, embeddings, negatives, videos, scorer, device, settings.seed, permute=exchange)
    perceived = protocol.perceived(gallery.clips)
    evaluation = evaluate(
        embeddings, gallery.clips, Plan(gallery.drawn, gallery.pooled), scorer, settings, facts,
        relevance=SharedLabels(*perceived) if perceived else None, notes=protocol.notes,
        checks=[*checks, _leakage_check(probe, negatives)], permute=exchange
    )  # fmt: skip
    path = write_evaluation(evaluation, folder, gallery.media(evaluation.wanted), gallery.crops(evaluation.located))
    print(table(evaluation.metrics, colour=sys.stdout.isatty()))
    logger.info("written: %s", path)
    return 0


def _protocol_settings(arguments: argparse.Namespace) -> list[str]:
    """Return the overrides that --protocol, --gallery and --ontology stand for."""
    name = arguments.protocol or ("list" if arguments.gallery else None)
    given = {"eval.protocol": name, "eval.gallery": arguments.gallery, "eval.ontology": arguments.ontology}
    return [f"{key}={json.dumps(str(value))}" for key, value in given.items() if value]


def _leakage_check(probe: Any, negatives: Any) -> Any:
    try:
        found = probe.find_leakage(negatives.frames, negatives.sounds)
    except PairError as error:
        return Check("leakage", None, str(error))
    sides = (f"{tried.side} alone {100 * tried.accuracy:.1f} % (p {tried.p_value:.2g})" for tried in found.attempts)
    return Check("leakage", not found.leaks, f"{', '.join(sides)} over {found.pairs} pairs, chance 50 %")
