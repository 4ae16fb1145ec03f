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
    hours: float
    """Of sound and picture, if every clip has the full length."""
    cpu_hours: float
    bytes: int
    shards: int

    def describe(self) -> str:
        """Lay the figures out for people."""
        return (
            f"plan: {self.inputs} inputs, {self.without_file} of them without a file; about {self.clips} clips, "
            f"{self.hours:.1f} hours, {self.bytes / 1e9:.1f} GB in {self.shards} shards, {self.cpu_hours:.1f} CPU hours"
        )


def estimate(sources: SourceList, settings: ShardSettings) -> Estimate:
    """Return what packing the sources will take. Looks at 2,000 files at most, and opens none."""
    named = [source for source in sources.sources if not source.problem]
    looked = random.Random(settings.seed).sample(named, min(_SAMPLE, len(named)))
    absent = sum(not os.path.exists(source.path) for source in looked)
    without = len(sources.sources) - len(named) + round(len(named) * absent / max(1, len(looked)))
    clips = len(sources.sources) - without
    spans = [min(source.duration or settings.clip_seconds, settings.clip_seconds) for source in looked]
    seconds = clips * sum(spans) / max(1, len(spans))
    frame_bytes = _FRAME_BYTES * (settings.short_side / 256) ** 2
    splits = Counter(source.split for source in sources.sources)
    return Estimate(
        inputs=len(sources.sources), without_file=without, clips=clips, hours=seconds / 3600,
        cpu_hours=seconds * _CPU_SECONDS / 3600,
        bytes=round(seconds * (settings.frames_per_second * frame_bytes + 2 * settings.sample_rate)),
        shards=sum(-(-count // settings.clips_per_shard) for count in splits.values()),
    )  # fmt: skip
