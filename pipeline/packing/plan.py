"""Decide which clip goes into which shard before anything is decoded, and say how much work that will be."""

import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avcorr.shards.index.layout import ShardName

from ..settings import ShardSettings
from ..sources.source import Source, SourceList

_SAMPLE = 2000
_FRAME_BYTES = 16_000
"""Of a JPEG of 256 pixels' short side at quality 3, about."""
_CPU_SECONDS = 0.024
"""To decode a second of 360p video, about; 720p takes three times as much."""


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard's name and the inputs meant for it, in order."""

    name: ShardName
    sources: tuple[Source, ...]


def plan_shards(sources: Sequence[Source], settings: ShardSettings) -> tuple[PlannedShard, ...]:
    """Return which inputs go into which shard: a seeded permutation of each split, cut into equal parts.

    Where an input lies, and whether it can be read, changes nothing. The sources come sorted by key; of the settings,
    `name`, `seed` and `clips_per_shard` matter.
    """
    by_split: dict[str, list[Source]] = {}
    for source in sources:
        by_split.setdefault(source.split, []).append(source)
    planned: list[PlannedShard] = []
    for split, members in sorted(by_split.items()):
        seed = np.random.SeedSequence([settings.seed, *split.encode()])
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(members))
        size = settings.clips_per_shard
        for number, start in enumerate(range(0, len(members), size)):
            chosen = tuple(members[position] for position in order[start : start + size])
            planned.append(PlannedShard(ShardName(settings.name, split, number), chosen))
    return tuple(planned)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is planned; all but the inputs and shards is rough."""

    inputs: int
    without_file: int
    """Inputs that are known, or by a sample estimated, to have no file."""
    clips: int
    """Of the inputs with a file; of all where none has one yet, as before a download."""
    hours: float
    """Of sound and picture, if every clip has the full length."""
    cpu_hours: float
    bytes: int
    shards: int
    free_bytes: int | None = None
    """Free where they are to lie; None where that is not known."""

    def describe(self) -> str:
        """Lay the figures out for people."""
        there = f"{self.without_file} of them without a file; about"
        if self.inputs == self.without_file:
            there = "none of whose files is here yet; with all of them about"
        free = ""
        if self.free_bytes is not None:
            verdict = "too little" if self.free_bytes < self.bytes else "enough"
            free = f"; {self.free_bytes / 1e9:.1f} GB are free there, {verdict}"
        return (
            f"plan: {self.inputs} inputs, {there} {self.clips} clips, {self.hours:.1f} hours, "
            f"{self.bytes / 1e9:.1f} GB in {self.shards} shards, {self.cpu_hours:.1f} CPU hours{free}"
        )


def estimate(sources: SourceList, settings: ShardSettings, free_bytes: int | None = None) -> Estimate:
    """Return what packing the sources will take. Looks at 2,000 files at most, and opens none."""
    named = [source for source in sources.sources if not source.problem]
    looked = random.Random(settings.seed).sample(named, min(_SAMPLE, len(named)))
    absent = sum(not os.path.exists(source.path) for source in looked)
    without = len(sources.sources) - len(named) + round(len(named) * absent / max(1, len(looked)))
    clips = len(sources.sources) - without
    if not clips:
        clips, looked = len(sources.sources), list(sources.sources[:_SAMPLE])
    spans = [min(source.duration or settings.clip_seconds, settings.clip_seconds) for source in looked]
    seconds = clips * sum(spans) / max(1, len(spans))
    frame_bytes = _FRAME_BYTES * (settings.short_side / 256) ** 2
    splits = Counter(source.split for source in sources.sources)
    return Estimate(
        inputs=len(sources.sources), without_file=without, clips=clips, hours=seconds / 3600,
        cpu_hours=seconds * _CPU_SECONDS / 3600,
        bytes=round(seconds * (settings.frames_per_second * frame_bytes + 2 * settings.sample_rate)),
        shards=sum(-(-count // settings.clips_per_shard) for count in splits.values()),
        free_bytes=free_bytes,
    )  # fmt: skip
