"""Objectives against values worked by hand, and what each declares."""

import math
from functools import partial
from types import ModuleType
from typing import get_args

import pytest
import torch

from avcorr.model.correspondence import build_model
from avcorr.model.networks.architectures import ARCHITECTURES
from avcorr.model.networks.network import CorrespondenceModel
from avcorr.model.objectives import contrastive, deranged, pair, sigmoid
from avcorr.model.objectives.contrastive import contrastive_loss
from avcorr.model.objectives.losses import EncodedPairs, Losses
from avcorr.model.objectives.objectives import OBJECTIVES
from avcorr.model.objectives.sigmoid import sigmoid_loss
from avcorr.model.settings import ModelSettings, TrainSettings
from avcorr.model.training.distributed import ALONE
from avcorr.pipeline.correspondence.negatives import derange_batch

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


@pytest.fixture(scope="module")
def model() -> CorrespondenceModel:
    return build_model(ModelSettings(embedding_size=2, width=8), seed=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoded(
    image: torch.Tensor,
    audio: torch.Tensor,
    videos: torch.Tensor | None = None,
    matches: torch.Tensor | None = None,
) -> EncodedPairs:
    """Return pairs of one process; without matches all pairs match, without videos each is of its own."""
    matches = torch.ones(len(image), dtype=torch.bool) if matches is None else matches
    videos = torch.arange(len(image)) if videos is None else videos
    return EncodedPairs(image, audio, matches, videos, partial(derange_batch, generator=generator()), ALONE)


def compute(objective: ModuleType, model: CorrespondenceModel, *columns: torch.Tensor, **more: torch.Tensor) -> Losses:
    """Return an objective's losses on pairs that are made of the same arguments."""
    found: Losses = objective.losses(model, encoded(*columns, **more), TrainSettings())
    return found


def test_every_name_of_the_settings_is_declared_and_has_its_file() -> None:
    assert set(get_args(TrainSettings.model_fields["objective"].annotation)) == OBJECTIVES.keys()
    assert all(callable(objective.load()) for objective in OBJECTIVES.values())
    assert set(get_args(ModelSettings.model_fields["architecture"].annotation)) == ARCHITECTURES.keys()
    for architecture in ARCHITECTURES.values():
        assert not architecture.load().localises
        assert architecture.localising is None or architecture.localising.load().localises


def test_pair_loss_by_hand(model: CorrespondenceModel) -> None:
    """Distances of which the head makes the probabilities 1/2 of the match and 1 - 3/4 of the mismatch."""
    image = torch.tensor([EAST, EAST])
    angles = [2 * math.asin(distance / 2) for distance in (1.2, 1.2 - math.log(3) / 5)]
    audio = torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])
    found = compute(pair, model, image, audio, matches=torch.tensor([True, False]))
    assert found.loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2, abs=1e-4)


def test_pair_objective_counts_both_kinds_of_pairs(model: CorrespondenceModel) -> None:
    image = torch.tensor([EAST, EAST, EAST, EAST])
    audio = torch.tensor([EAST, NORTH, EAST, NORTH])  # near, far, near, far; the threshold lies between
    result = compute(pair, model, image, audio, matches=torch.tensor([True, True, False, False]))
    assert result.accuracy.item() == 0.5
    result = compute(pair, model, image, audio, matches=torch.tensor([True, False, True, False]))
    assert result.accuracy.item() == 1.0
    assert result.loss < math.log(2)


def test_contrastive_loss_of_two_pairs_by_hand() -> None:
    image, audio = torch.tensor([EAST, NORTH]), torch.tensor([EAST, [0.6, 0.8]])
    # Cosines [[1, 0.6], [0, 0.8]], temperature 1/2: logits [[2, 1.2], [0, 1.6]].
    rows = [math.log(1 + math.exp(1.2 - 2)), math.log(1 + math.exp(0 - 1.6))]
    columns = [math.log(1 + math.exp(0 - 2)), math.log(1 + math.exp(1.2 - 1.6))]
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert contrastive_loss(encoded(image, audio, torch.tensor([7, 8])), 0.5).item() == pytest.approx(expected)


def test_contrastive_loss_ignores_other_pairs_of_the_same_video() -> None:
    image, audio = torch.tensor([EAST, NORTH, EAST]), torch.tensor([EAST, [0.6, 0.8], EAST])
    # The third pair repeats the first one's video: each of the two sees only the second as a negative.
    result = contrastive_loss(encoded(image, audio, torch.tensor([7, 8, 7])), 0.5)
    first = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 2))) / 2
    second = (math.log(1 + 2 * math.exp(0 - 1.6)) + math.log(1 + 2 * math.exp(1.2 - 1.6))) / 2
    assert result.item() == pytest.approx((2 * first + second) / 3)


def test_contrastive_loss_of_one_video_alone_is_zero_and_has_finite_gradients() -> None:
    image = torch.tensor([EAST, NORTH], requires_grad=True)
    loss = contrastive_loss(encoded(image, torch.tensor([NORTH, EAST]), torch.tensor([7, 7])), 0.07)
    loss.backward()
    assert loss.item() == 0.0
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_head_learns_from_the_contrastive_objective_without_moving_the_towers(model: CorrespondenceModel) -> None:
    videos = torch.tensor([1, 2, 3, 4])
    image = torch.eye(4, requires_grad=True)
    result = compute(contrastive, model, image, torch.eye(4), videos)
    (with_head,) = torch.autograd.grad(result.loss, image, retain_graph=True)
    (alone,) = torch.autograd.grad(contrastive_loss(encoded(image, torch.eye(4), videos), 0.07), image)
    torch.testing.assert_close(with_head, alone, atol=0, rtol=0)
    slope, bias = torch.autograd.grad(result.loss, [model.head.slope, model.head.bias])
    assert slope.abs() > 0
    assert bias.abs() > 0
    # Distances 0 and sqrt(2), threshold 1.2 and slope 5: all eight pairs are on the right side.
    assert result.accuracy.item() == 1.0
    expected = (math.log1p(math.exp(-6.0)) + math.log1p(math.exp(6.0 - 5 * math.sqrt(2)))) / 2
    assert result.pair_loss.item() == pytest.approx(expected, abs=1e-3)


def test_sigmoid_loss_of_two_pairs_by_hand(model: CorrespondenceModel) -> None:
    image, audio = torch.tensor([EAST, NORTH]), torch.tensor([EAST, [0.6, 0.8]])
    # Distances [[0, 0.894], [1.414, 0.632]], logits 6 - 5 d; the prior of two items is even odds.
    logits = [[6.0, 6 - 5 * math.sqrt(0.8)], [6 - 5 * math.sqrt(2), 6 - 5 * math.sqrt(0.4)]]
    terms = [math.log1p(math.exp(logits[i][j] * (-1 if i == j else 1))) for i in range(2) for j in range(2)]
    result = sigmoid_loss(model, encoded(image, audio, torch.tensor([7, 8])))
    assert result.item() == pytest.approx(sum(terms) / 2, abs=1e-3)


def test_sigmoid_loss_corrects_for_the_number_of_negatives(model: CorrespondenceModel) -> None:
    """Of 5 items each match meets 4 mismatches: all logits are log 4 lower, the head's own bias stays as it is."""
    vectors = torch.eye(2)[[0, 1, 1, 1, 1]]
    result = sigmoid_loss(model, encoded(vectors, vectors, torch.tensor([1, 2, 2, 2, 2])))
    match, mismatch = 6 - math.log(4), 6 - 5 * math.sqrt(2) - math.log(4)
    # The last four are of one video and no negatives of each other: 5 matches, 4 + 4 mismatches.
    expected = (5 * math.log1p(math.exp(-match)) + 8 * math.log1p(math.exp(mismatch))) / 5
    assert result.item() == pytest.approx(expected, abs=1e-3)


def test_sigmoid_objective_trains_head_and_towers_together(model: CorrespondenceModel) -> None:
    image = torch.eye(4, requires_grad=True)
    result = compute(sigmoid, model, image, torch.eye(4))
    for gradient in torch.autograd.grad(result.loss, [image, model.head.slope, model.head.bias]):
        assert gradient.abs().max() > 0
    assert result.accuracy.item() == 1.0
    assert not result.pair_loss.requires_grad


def test_deranged_objective_is_the_loss_of_matches_and_mismatches_at_even_odds(model: CorrespondenceModel) -> None:
    image = torch.eye(4, requires_grad=True)
    result = compute(deranged, model, image, torch.eye(4))
    match, mismatch = 6.0, 6 - 5 * math.sqrt(2)
    expected = (math.log1p(math.exp(-match)) + math.log1p(math.exp(mismatch))) / 2
    assert result.loss.item() == pytest.approx(expected, abs=1e-3) == result.pair_loss.item()
    for gradient in torch.autograd.grad(result.loss, [image, model.head.slope, model.head.bias]):
        assert gradient.abs().max() > 0
    assert result.accuracy.item() == 1.0 and not result.pair_loss.requires_grad


def test_items_that_find_no_other_video_are_left_out(model: CorrespondenceModel) -> None:
    result = compute(contrastive, model, torch.eye(3), torch.eye(3), torch.tensor([5, 5, 5]))
    assert result.pair_loss.item() == pytest.approx(math.log1p(math.exp(-6.0)) / 2, abs=1e-4)
