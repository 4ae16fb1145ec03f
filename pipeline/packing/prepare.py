"""From what the user names to the list of inputs: find, look into archives, cut long videos."""

import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from avcorr.shards.index.layout import CACHE

from ..decoding.probe import Durations, Place
from ..errors import MediaError
from ..settings import ShardSettings
from ..sources.find import find_sources
from ..sources.source import Source, SourceList
from .output import Output

_SAMPLE = 8
"""Videos whose length is looked at for the plan."""
_NOTABLE = 0.1
"""Share of their length that is worth a word when it is left out."""
_SHORTEST_REST = 1.0
"""A shorter rest at a video's end is left out, seconds: containers often claim a little more than they hold."""


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
            return _read(given, Path(folder), settings, videos, workers, before_download=True)
    for path in [given] if isinstance(given, Path) else given:
        if not path.exists():
            find_sources(path)  # a wrong --source leaves no trace of a dataset
    Output(root).check()
    return _read(given, root / CACHE, settings, videos, workers)


def _read(
    given: Path | Sequence[Path],
    cache: Path,
    settings: ShardSettings,
    videos: Path | None,
    workers: int,
    *,
    before_download: bool = False,
) -> SourceList:
    find = partial(
        find_sources, given, videos=videos, test_fraction=settings.test_fraction, seed=settings.seed,
        group_by=settings.group_by, folder_labels=settings.folder_labels, before_download=before_download, cache=cache,
    )  # fmt: skip
    if not settings.consecutive:
        found = find()
        with tempfile.TemporaryDirectory() as folder:  # a few lengths are not worth a file in the dataset
            some = Durations(settings.ffmpeg, Path(folder, "durations.jsonl"), workers, settings.timeout_seconds)
            return replace(found, notes=(*found.notes, *_left_out(some, settings, found.sources)))
    durations = Durations(settings.ffmpeg, cache / "durations.jsonl", workers, settings.timeout_seconds)
    cut = partial(consecutive, durations, settings.clip_seconds, settings.stride_seconds)
    return find(cut=cut, look=durations.look)


def _left_out(durations: Durations, settings: ShardSettings, sources: Sequence[Source]) -> Iterator[str]:
    """Yield what is to be said of videos that are longer than a clip, by a few of them."""
    whole = [each for each in sources if not each.duration and not each.problem]
    whole = [each for each in whole if each.member is None or not each.member.compressed]
    some = random.Random(settings.seed).sample(whole, min(_SAMPLE, len(whole)))
    answers = durations.measure([Place(each.name, each.path, each.member) for each in some])
    lengths = [answer for answer in answers.values() if isinstance(answer, float)]
    kept = sum(min(length, settings.clip_seconds) for length in lengths)
    long = sum(length > settings.clip_seconds for length in lengths)
    if lengths and kept < (1 - _NOTABLE) * sum(lengths):
        yield (
            f"{long} of {len(lengths)} videos looked at are longer than {settings.clip_seconds:g} s: "
            f"{1 - kept / sum(lengths):.0%} of their length is left out; --consecutive makes clips of all of it"
        )


def consecutive(
    durations: Durations, clip_seconds: float, stride_seconds: float, sources: Sequence[Source]
) -> Iterator[Source]:
    """Yield the consecutive clips of each source, one every `stride_seconds` (0: `clip_seconds`).

    A source that names its duration is cut without being asked for; one whose length cannot be told stays one input
    with the reason.
    """
    places = (Place(each.name, each.path, each.member) for each in sources if not each.duration and not each.problem)
    found = durations.measure(list({place.name: place for place in places}.values()))
    stride = stride_seconds or clip_seconds
    for source in sources:
        length = source.duration or found.get(source.name, 0.0)
        if isinstance(length, MediaError):
            yield replace(source, problem=(length.code, str(length)))
        elif source.problem:
            yield source
        else:
            span = source.duration or max(0.0, length - source.seek)
            for number in range(clip_count(span, clip_seconds, stride)):
                start = number * stride
                seconds = min(clip_seconds, source.duration - start) if source.duration else clip_seconds
                yield replace(source, start=source.start + start, seek=source.seek + start, duration=seconds)


def clip_count(seconds: float, clip_seconds: float, stride: float) -> int:
    """Return how many clips a span gives: whole ones, and a rest if a second or half a clip of it is in no other."""
    whole = max(0, math.floor((seconds - clip_seconds) / stride + 1e-9) + 1)
    covered = (whole - 1) * stride + clip_seconds if whole else 0.0
    rest = seconds - max(whole * stride, covered)
    return max(1, whole + (rest >= min(_SHORTEST_REST, clip_seconds / 2)))
