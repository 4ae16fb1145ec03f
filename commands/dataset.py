"""The dataset that a command is given, and what must hold between it and a model."""

import argparse
from typing import Any

from avcorr.pipeline.moments.catalogue import video_number
from avcorr.shards.stores.cache import Cache
from avcorr.shards.stores.open import open_store

from .errors import CommandError
from .versions import version_of


def open_shards(arguments: argparse.Namespace) -> Any:
    cache = Cache(arguments.cache, arguments.cache_gb * 10**9) if arguments.cache else None
    return open_store(arguments.shards, cache=cache)


def require_rate(stored: int, config: Any) -> None:
    expected = config.model.spectrogram.sample_rate
    if stored != expected:
        raise CommandError(
            f"the sound of the shards has {stored} Hz and model.spectrogram.sample_rate is {expected}; set both "
            f"shard.sample_rate and model.spectrogram.sample_rate to {stored}, or make shards with {expected}"
        )


def refuse_trained(gallery: Any, trained: set[str], split: str, where: str) -> None:
    numbers = {clip.video for clip in gallery.clips}
    overlap = sorted(video for video in trained if video_number(video) in numbers)
    if overlap:
        raise CommandError(
            f"{len(overlap)} source videos of the split {split!r} of {where} were trained on "
            f"({overlap[0]} for one); evaluate another split with --set eval.split=NAME, or other clips with --gallery"
        )


def decoders(dataset: Any) -> dict[str, str]:
    """Return what decoded the videos when they were sharded, and what decodes the frames now."""
    sharded = dataset["settings"].get("decoder", "ffmpeg")
    return {
        sharded: str(dataset.get(sharded, dataset.get("ffmpeg", "unknown"))),
        "simplejpeg": version_of("simplejpeg"),
    }
