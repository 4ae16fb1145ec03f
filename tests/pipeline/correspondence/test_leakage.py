"""The search for leakage finds nothing in our pairs, and finds what was put in on purpose."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch

from avcorr.pipeline.correspondence.leakage import Leakage, describe, find_leakage
from avcorr.pipeline.correspondence.pairs import PairBatch, PairDataset
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.moments.loader import MomentLoader
from avcorr.pipeline.settings import PairSettings

SETTINGS = PairSettings(frame_size=32, block_clips=4, workers=0)


def drawn(root: Path, count: int = 40, **changes: object) -> list[PairBatch]:
    dataset = PairDataset(root, SETTINGS.model_copy(update=changes), batch_size=32, seed=0)
    return list(islice(MomentLoader(dataset), count))


def attempts(found: Leakage) -> dict[str, bool]:
    return {attempt.side: attempt.leaks for attempt in found.attempts}


@pytest.mark.parametrize("hard", [0.0, 0.5])
def test_pairs_of_the_sampler_have_none(shards: Path, hard: float) -> None:
    found = find_leakage(drawn(shards, hard_negative_fraction=hard, min_offset_seconds=0.5))
    assert found.pairs == 1280 and sum(found.kinds.values()) == 1280
    assert (found.kinds["same clip"] > 100) == (hard > 0)
    assert attempts(found) == {"sound": False, "picture": False} and not found.leaks
    assert "at chance" in describe(found) and "LEAKS" not in describe(found)


def louder(batch: PairBatch) -> PairBatch:
    """A sampler whose negatives are half as loud."""
    factor = torch.where(batch.matches, 1.0, 0.5)[:, None]
    return batch._replace(audio=(batch.audio * factor).to(torch.int16))


def brighter(batch: PairBatch) -> PairBatch:
    """A sampler whose negatives have a corner that is painted white."""
    frames = batch.frames.clone()
    frames[~batch.matches, :4, :4] = 255
    return batch._replace(frames=frames)


@pytest.mark.parametrize(("spoil", "side"), [(louder, "sound"), (brighter, "picture")])
def test_a_leak_is_found_on_its_side(shards: Path, spoil: Callable[[PairBatch], PairBatch], side: str) -> None:
    found = find_leakage([spoil(batch) for batch in drawn(shards)])
    assert attempts(found) == {"sound": False, "picture": False} | {side: True}
    assert "LEAKS" in describe(found)


def test_one_label_is_refused(shards: Path) -> None:
    with pytest.raises(PairError, match="320 of them matching, are too few"):
        find_leakage(drawn(shards, 10, positive_rate=1.0))
