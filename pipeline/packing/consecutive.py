"""Cut long videos into clips that follow each other."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..decoding.probe import Durations, Place
from ..errors import MediaError
from ..sources.source import Source

_SHORTEST_REST = 1.0
"""A shorter rest at a video's end is left out, seconds: containers often claim a little more than they hold."""


def clip_count(seconds: float, clip_seconds: float) -> int:
    """Return how many clips a span gives: whole ones, and a rest of at least a second or half a clip."""
    whole = math.floor(seconds / clip_seconds + 1e-9)
    rest = seconds - whole * clip_seconds
    return max(1, whole + (rest >= min(_SHORTEST_REST, clip_seconds / 2)))


def consecutive(durations: Durations, clip_seconds: float) -> Callable[[Sequence[Source]], Iterator[Source]]:
    """Return what makes the consecutive clips of each source, as `find_sources` wants it.

    A source that names its duration is cut without being asked for; one whose length cannot be told stays one input
    with the reason.
    """

    def cut(sources: Sequence[Source]) -> Iterator[Source]:
        asked = {
            source.name: Place(source.name, source.path, source.member)
            for source in sources
            if not source.duration and not source.problem
        }
        found = durations.measure(list(asked.values()))
        for source in sources:
            length = source.duration or found.get(source.name, 0.0)
            if isinstance(length, MediaError):
                yield replace(source, problem=(length.code, str(length)))
            elif source.problem:
                yield source
            else:
                span = source.duration or max(0.0, length - source.seek)
                yield from _clips(source, span, clip_seconds)

    return cut


def _clips(source: Source, span: float, clip_seconds: float) -> Iterator[Source]:
    for number in range(clip_count(span, clip_seconds)):
        offset = number * clip_seconds
        length = min(clip_seconds, source.duration - offset) if source.duration else clip_seconds
        yield replace(source, start=source.start + offset, seek=source.seek + offset, duration=length)
