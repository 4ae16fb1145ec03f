"""What must hold between a dataset and a model."""

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version

from avcorr.configs.schema import Config
from avcorr.errors import Error
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.pipeline.moments.catalogue import video_number
from avcorr.shards.index.facts import DatasetFacts


def require_rate(stored: int, config: Config) -> None:
    """Refuse shards whose sound has another sample rate, in Hz, than the model's spectrogram."""
    expected = config.model.spectrogram.sample_rate
    if stored != expected:
        raise Error(
            f"the sound of the shards has {stored} Hz and model.spectrogram.sample_rate is {expected}; set both "
            f"shard.sample_rate and model.spectrogram.sample_rate to {stored}, or make shards with {expected}"
        )


def refuse_trained(gallery: Gallery, trained: Collection[str], split: str, where: str) -> None:
    """Refuse a gallery that has clips of source videos that the model was trained on."""
    numbers = {clip.video for clip in gallery.clips}
    overlap = sorted(video for video in trained if video_number(video) in numbers)
    if overlap:
        raise Error(
            f"{len(overlap)} source videos of the split {split!r} of {where} were trained on "
            f"({overlap[0]} for one); evaluate another split with --set eval.split=NAME, or other clips with --gallery"
        )


def decoders(dataset: DatasetFacts) -> dict[str, str]:
    """Return what decoded the videos when they were sharded, and what decodes the frames now."""
    sharded = dataset.settings.get("decoder", "ffmpeg")
    return {sharded: dataset.ffmpeg, "simplejpeg": version_of("simplejpeg")}


def version_of(package: str) -> str:
    """Return the version of a package that a figure depends on, or `absent`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
