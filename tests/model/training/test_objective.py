"""Losses against values worked by hand, and the choice of negatives."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avcorr.model.correspondence import build_model
from avcorr.model.networks.network import CorrespondenceModel
from avcorr.model.settings import ModelSettings
from avcorr.model.training.negatives import derange
from avcorr.model.training.objective import (
    contrastive_loss,
    contrastive_objective,
    deranged_objective,
    pair_loss,
    pair_objective,
    sigmoid_loss,
    sigmoid_objective,
)

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


@pytest.fixture(scope="module")
def model() -> CorrespondenceModel:
    return build_model(ModelSettings(embedding_size=2, width=8), seed=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pair_loss_of_logits_by_hand() -> None:
    logits, matches = torch.tensor([0.0, math.log(3.0)]), torch.tensor([True, False])
    # Probabilities 1/2 of the match and 1 - 3/4 of the mismatch.
    assert pair_loss(logits, matches).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_pair_objective_counts_both_kinds_of_pairs(model: CorrespondenceModel) -> None:
    image = torch.tensor([EAST, EAST, EAST, EAST])
    audio = torch.tensor([EAST, NORTH, EAST, NORTH])  # near, far, near, far; the threshold lies between
    result = pair_objective(model, image, audio, torch.tensor([True, True, False, False]))
    assert result.accuracy.item() == 0.5
    result = pair_objective(model, image, audio, torch.tensor([True, False, True, False]))
    assert result.accuracy.item() == 1.0
    assert result.loss < math.log(2)


def test_contrastive_loss_of_two_pairs_by_hand() -> None:
    image, audio = torch.tensor([EAST, NORTH]), torch.tensor([EAST, [0.6, 0.8]])
    # Cosines [[1, 0.6], [0, 0.8]], temperature 1/2: logits [[2, 1.2], [0, 1.6]].
    rows = [math.log(1 + math.exp(1.2 - 2)), math.log(1 + math.exp(0 - 1.6))]
    columns = [math.log(1 + math.exp(0 - 2)), math.log(1 + math.exp(1.2 - 1.6))]
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert contrastive_loss(image, audio, torch.tensor([7, 8]), 0.5).item() == pytest.approx(expected)


def test_contrastive_loss_ignores_other_pairs_of_the_same_video() -> None:
    image, audio = torch.tensor([EAST, NORTH, EAST]), torch.tensor([EAST, [0.6, 0.8], EAST])
    # The third pair repeats the first one's video: each of the two sees only the second as a negative.
    result = contrastive_loss(image, audio, torch.tensor([7, 8, 7]), 0.5)
    first = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 2))) / 2
    second = (math.log(1 + 2 * math.exp(0 - 1.6)) + math.log(1 + 2 * math.exp(1.2 - 1.6))) / 2
    assert result.item() == pytest.approx((2 * first + second) / 3)


def test_contrastive_loss_of_one_video_alone_is_zero_and_has_finite_gradients() -> None:
    image = torch.tensor([EAST, NORTH], requires_grad=True)
    loss = contrastive_loss(image, torch.tensor([NORTH, EAST]), torch.tensor([7, 7]), 0.07)
    loss.backward()
    assert loss.item() == 0.0
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_smoothing_shares_the_target_among_negatives_by_hand() -> None:
    image, audio = torch.tensor([EAST, NORTH, EAST]), torch.tensor([EAST, [0.6, 0.8], EAST])
    videos = torch.tensor([7, 8, 7])
    sharp = contrastive_loss(image, audio, videos, 0.5)
    smooth = contrastive_loss(image, audio, videos, 0.5, smoothing=0.3)
    # Logits as above. What is shared: over match and one negative for the two of video 7, over all three for the other.
    cells = [[2.0, 1.2], [1.6, 0.0, 0.0], [2.0, 1.2], [2.0, 0.0], [1.6, 1.2, 1.2], [2.0, 0.0]]
    shared = sum(math.log(sum(map(math.exp, row))) - sum(row) / len(row) for row in cells) / 6
    assert smooth.item() == pytest.approx(0.7 * sharp.item() + 0.3 * shared)
    vectors = image.clone().requires_grad_()
    contrastive_loss(vectors, audio, torch.tensor([7, 7, 7]), 0.07, smoothing=0.3).backward()
    assert vectors.grad is not None and vectors.grad.isfinite().all()


def test_a_share_of_the_heads_gradient_reaches_the_towers_where_asked(model: CorrespondenceModel) -> None:
    videos = torch.arange(4)
    audio = torch.nn.functional.normalize(torch.randn(4, 2, generator=generator(3)), dim=1)
    found = {}
    for weight in (0.0, 0.5, 1.0):
        image = torch.nn.functional.normalize(torch.randn(4, 2, generator=generator(1)), dim=1).requires_grad_()
        result = contrastive_objective(model, image, audio, videos, 0.07, generator(), pair_weight=weight)
        (gradient,) = torch.autograd.grad(result.loss, image)
        found[weight] = (result.loss.item(), gradient)
    assert found[0.5][0] == pytest.approx(found[0.0][0]) and found[1.0][0] == pytest.approx(found[0.0][0])
    difference = found[1.0][1] - found[0.0][1]
    assert difference.abs().max() > 0.01
    torch.testing.assert_close(found[0.5][1] - found[0.0][1], difference / 2)


def test_head_learns_from_the_contrastive_objective_without_moving_the_towers(model: CorrespondenceModel) -> None:
    videos = torch.tensor([1, 2, 3, 4])
    image = torch.eye(4, requires_grad=True)
    result = contrastive_objective(model, image, torch.eye(4), videos, 0.07, generator())
    (with_head,) = torch.autograd.grad(result.loss, image, retain_graph=True)
    (alone,) = torch.autograd.grad(contrastive_loss(image, torch.eye(4), videos, 0.07), image)
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
    result = sigmoid_loss(model, image, audio, torch.tensor([7, 8]))
    assert result.item() == pytest.approx(sum(terms) / 2, abs=1e-3)


def test_sigmoid_loss_corrects_for_the_number_of_negatives(model: CorrespondenceModel) -> None:
    """Of 5 items each match meets 4 mismatches: all logits are log 4 lower, the head's own bias stays as it is."""
    vectors = torch.eye(2)[[0, 1, 1, 1, 1]]
    result = sigmoid_loss(model, vectors, vectors, torch.tensor([1, 2, 2, 2, 2]))
    match, mismatch = 6 - math.log(4), 6 - 5 * math.sqrt(2) - math.log(4)
    # The last four are of one video and no negatives of each other: 5 matches, 4 + 4 mismatches.
    expected = (5 * math.log1p(math.exp(-match)) + 8 * math.log1p(math.exp(mismatch))) / 5
    assert result.item() == pytest.approx(expected, abs=1e-3)


def test_sigmoid_objective_trains_head_and_towers_together(model: CorrespondenceModel) -> None:
    image = torch.eye(4, requires_grad=True)
    result = sigmoid_objective(model, image, torch.eye(4), torch.arange(4), generator())
    for gradient in torch.autograd.grad(result.loss, [image, model.head.slope, model.head.bias]):
        assert gradient.abs().max() > 0
    assert result.accuracy.item() == 1.0
    assert not result.pair_loss.requires_grad


def test_deranged_objective_is_the_loss_of_matches_and_mismatches_at_even_odds(model: CorrespondenceModel) -> None:
    image = torch.eye(4, requires_grad=True)
    result = deranged_objective(model, image, torch.eye(4), torch.arange(4), generator())
    match, mismatch = 6.0, 6 - 5 * math.sqrt(2)
    expected = (math.log1p(math.exp(-match)) + math.log1p(math.exp(mismatch))) / 2
    assert result.loss.item() == pytest.approx(expected, abs=1e-3) == result.pair_loss.item()
    for gradient in torch.autograd.grad(result.loss, [image, model.head.slope, model.head.bias]):
        assert gradient.abs().max() > 0
    assert result.accuracy.item() == 1.0 and not result.pair_loss.requires_grad


def test_items_that_find_no_other_video_are_left_out(model: CorrespondenceModel) -> None:
    result = contrastive_objective(
        model, torch.eye(3), torch.eye(3), torch.tensor([5, 5, 5]), temperature=0.07, generator=generator()
    )
    assert result.pair_loss.item() == pytest.approx(math.log1p(math.exp(-6.0)) / 2, abs=1e-4)


@given(
    groups=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(1, 6)), min_size=1, max_size=8),
    seed=st.integers(0, 2**31),
)
def test_derangement_is_a_permutation_that_leaves_every_video(groups: list[tuple[int, int]], seed: int) -> None:
    videos = torch.tensor([video for video, count in groups for _ in range(count)])
    videos = videos[torch.randperm(len(videos), generator=generator(seed))]
    index = derange(videos, generator(seed))
    assert sorted(index.tolist()) == list(range(len(videos)))
    assert torch.equal(index, derange(videos, generator(seed)))
    largest = videos.unique(return_counts=True)[1].max().item()
    if largest <= len(videos) // 2:
        assert (videos[index] != videos).all()


def test_any_two_videos_can_meet() -> None:
    # Ids in order, as when a corpus is numbered class by class: partners must not be its neighbours only.
    videos = torch.arange(8)
    met = {(i, j) for seed in range(300) for i, j in enumerate(derange(videos, generator(seed)).tolist())}
    assert len(met) == 8 * 7
