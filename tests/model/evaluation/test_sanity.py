"""The checks of an evaluation find what they are for: each is shown a model or pairs that are wrong in its way."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from avcorr.model.embedding.embed import embed
from avcorr.model.evaluation.pairing import Pairs, first_negatives
from avcorr.model.evaluation.sanity import (
    Check,
    batch_invariance,
    check_all,
    constant_inputs,
    shuffled_pairs,
    shuffled_retrieval,
)
from avcorr.model.evaluation.scorer import DistanceScorer
from avcorr.pipeline.correspondence.leakage import LeakageProbe
from avcorr.pipeline.correspondence.negatives import derange
from avcorr.pipeline.errors import PairError
from avcorr.pipeline.galleries.gallery import ViewBatch

CPU = torch.device("cpu")
HEAD = DistanceScorer(5.0, 6.0)


class Batch(NamedTuple):
    frames: torch.Tensor
    audio: torch.Tensor
    clips: torch.Tensor
    times: torch.Tensor


class Towers(torch.nn.Module):
    """Two linear towers; `leak` of each embedding comes from what else is in the batch."""

    has_shared_space = True

    def __init__(self, leak: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.audio, self.leak = torch.nn.Linear(48, 8), torch.nn.Linear(100, 8), leak

    def image_features(self, frames: torch.Tensor) -> torch.Tensor:
        return self._finish(self.image(frames.flatten(1).float() / 255))

    def audio_features(self, audio: torch.Tensor) -> torch.Tensor:
        return self._finish(self.audio(audio.float() / 32768))

    def to_embeddings(self, features: torch.Tensor) -> torch.Tensor:
        return features

    def _finish(self, outputs: torch.Tensor) -> torch.Tensor:
        neighbours = self.leak * torch.linspace(0, 1, len(outputs))[:, None] * outputs.mean(dim=0)
        return torch.nn.functional.normalize(outputs + neighbours, dim=1)


def some_views(count: int = 40) -> Batch:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (count, 4, 4, 3), generator=generator, dtype=torch.uint8)
    audio = torch.randint(-9000, 9000, (count, 100), generator=generator, dtype=torch.int16)
    return Batch(frames, audio, torch.arange(count), torch.zeros(count, dtype=torch.float64))


def units(count: int, size: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_sound_model_passes_every_check() -> None:
    views, videos = some_views(), np.arange(40) // 2
    embeddings = embed(Towers(), [views], CPU)
    negatives = first_negatives(np.arange(40)[:, None], videos, 0, derange=derange)
    checks = check_all(Towers(), views, embeddings, negatives, videos, HEAD, CPU, 0, derange=derange)
    assert [check.name for check in checks] == [
        "shuffled pairs", "shuffled retrieval", "silence", "black frames", "batch size",
    ]  # fmt: skip
    assert all(check.passed for check in checks), checks


def test_a_model_that_looks_at_its_neighbours_is_found() -> None:
    views, model = some_views(), Towers(leak=0.5)
    embeddings = embed(model, [views], CPU)
    assert not batch_invariance(model, views, embeddings, CPU).passed
    checks = {check.name: check.passed for check in constant_inputs(model, views, HEAD, CPU)}
    assert checks == {"silence": False, "black frames": False}


@pytest.mark.parametrize("seed", range(5))
def test_negatives_that_are_chosen_to_be_easy_are_found(seed: int) -> None:
    """Of each class half the clips; negatives of another class alone are easier than those of another video."""
    classes = np.arange(400) % 2
    image = np.eye(2, dtype=np.float32)[classes]
    videos = np.arange(400)
    fair = first_negatives(videos[:, None], videos, seed, derange=derange)
    assert shuffled_pairs((image, image), fair, videos, HEAD, seed, derange=derange).passed
    easy = Pairs(videos, np.roll(videos, 1), videos, np.zeros(400, int))
    assert not shuffled_pairs((image, image), easy, videos, HEAD, seed, derange=derange).passed


def test_a_gallery_in_which_every_sound_finds_its_place_is_found() -> None:
    """Embeddings that carry the number of their row, as those of a file order or of a cache might."""
    image = units(200, 16)
    assert shuffled_retrieval(image, image, 0).passed
    dealt = np.random.default_rng([0, 4]).permutation(200)
    undone = np.empty_like(image)
    undone[dealt] = image
    assert not shuffled_retrieval(image, undone, 0).passed


def test_leakage_of_the_evaluated_pairs_are_found() -> None:
    """Sounds of the second half are louder; where the negatives take theirs from it alone, loudness tells."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    audio = (generator.normal(size=(200, 800)) * np.where(np.arange(200) < 100, 300, 6000)[:, None]).astype(np.int16)
    batches = [
        ViewBatch(*(torch.from_numpy(part[rows]) for part in (frames, audio)), torch.arange(7), torch.zeros(7))
        for rows in (slice(first, first + 7) for first in range(0, 196, 7))
    ]
    seen = LeakageProbe(np.arange(196))
    assert sum(len(batch.clips) for batch in seen.of(batches)) == 196
    fair = first_negatives(np.arange(196)[:, None], np.arange(196), 0, derange=derange)
    assert not seen.find_leakage(fair.frames, fair.sounds).leaks
    found = seen.find_leakage(np.arange(96), 100 + np.arange(96))
    assert found.leaks and found.attempts[0].accuracy > 0.95
    assert not found.attempts[1].leaks  # the frames are the same in both
    with pytest.raises(PairError, match="too few"):
        seen.find_leakage(np.arange(20), np.arange(20, 40))


def test_a_check_says_what_it_found() -> None:
    check = shuffled_retrieval(units(50, 8), units(50, 8, 1), 3)
    assert isinstance(check, Check) and "of 50 in a shuffled gallery, chance 25.5" in check.detail
