"""Decide which clip goes into which shard before anything is decoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avcorr.shards.index.layout import ShardName

from ..settings import ShardSettings
from ..sources.source import Source


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard's name and the inputs meant for it, in order."""

    name: ShardName
    sources: tuple[Source, ...]


def plan_shards(sources: Sequence[Source], settings: ShardSettings) -> tuple[PlannedShard, ...]:
    """Return which inputs go into which shard: a seeded permutation of each split, cut into equal parts.

    Where an input lies, and whether it can be read, changes nothing.

    Args:
        sources: the inputs, sorted by key.
        settings: `name`, `seed` and `clips_per_shard` matter.
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
