"""From what the user names to the list of inputs: find, look into archives, cut long videos."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from avcorr.shards.index.layout import CACHE

from ..decoding.ffmpeg import find_ffmpeg
from ..decoding.probe import Durations
from ..settings import ShardSettings
from ..sources.find import find_sources
from ..sources.source import SourceList
from .claim import check_folder, writing_to
from .consecutive import consecutive


def read_sources(
    given: Path | Sequence[Path],
    root: Path | None,
    settings: ShardSettings,
    *,
    videos: Path | None = None,
    workers: int = 1,
) -> SourceList:
    """Return the inputs of a dataset.

    What takes long to find out, the lengths of videos and the listings of compressed archives, is kept under
    `root` for the next run.

    Args:
        given: a folder, a CSV, or archives.
        root: the dataset's folder; None to keep nothing.
        settings: how splits are chosen, and whether videos are cut into consecutive clips.
        videos: the folder that VGGSound's names are looked up in.
        workers: how many ffmpeg tell lengths at once.

    Raises:
        SourceError: when the sources cannot be understood.
        OutputError, DatasetMismatchError: when `root` cannot be used.
    """
    if root is None:
        with tempfile.TemporaryDirectory() as folder:
            return _read(given, Path(folder), settings, videos, workers)
    for path in [given] if isinstance(given, Path) else given:
        if not path.exists():
            find_sources(path)  # a wrong --source leaves no trace of a dataset
    check_folder(root)
    with writing_to(root):
        return _read(given, root / CACHE, settings, videos, workers)


def _read(
    given: Path | Sequence[Path], cache: Path, settings: ShardSettings, videos: Path | None, workers: int
) -> SourceList:
    durations = None
    if settings.consecutive:
        binary = find_ffmpeg(settings.ffmpeg)
        durations = Durations(binary, cache / "durations.jsonl", workers, settings.timeout_seconds)
    return find_sources(
        given, videos=videos, test_fraction=settings.test_fraction, seed=settings.seed, cache=cache,
        cut=consecutive(durations, settings.clip_seconds) if durations else None,
        look=durations.look if durations else None,
    )  # fmt: skip
