"""A loss that stays at chance, diverges or learns: from made-up courses and from real trainings."""

import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from avcorr.model.objectives.objectives import OBJECTIVES
from avcorr.model.saving.checkpoint import best_checkpoint, latest_checkpoint
from avcorr.model.settings import TrainSettings
from avcorr.model.training.watch import Watch
from tests.model.training.test_trainer import PairBatch, batch, read_metrics, settings, train

LN2 = math.log(2)


def follow(losses: list[float], caplog: pytest.LogCaptureFixture, **changes: object) -> list[str]:
    """Show a watch these losses, 100 steps apart, and return its warnings."""
    watch = Watch(TrainSettings.model_validate({"plateau_steps": 1000, **changes}), 0)
    with caplog.at_level(logging.WARNING, "avcorr.model.training.watch"):
        for number, loss in enumerate(losses, 1):
            watch.see({"step": 100 * number, "loss_mean": loss, "pair_loss": LN2})
    return [record.getMessage() for record in caplog.records]


def test_a_loss_at_ln_2_is_told_and_told_again_at_doublings(caplog: pytest.LogCaptureFixture) -> None:
    warnings = follow([LN2 + 0.003 * (-1) ** number for number in range(45)], caplog)
    assert [int(text.split(":")[0].removeprefix("step ")) for text in warnings] == [1000, 2000, 4000]
    assert "the loss is still 0.690, and 0.693 is a guess" in warnings[0]
    assert "train.objective contrastive" in warnings[0] and "train.learning_rate (now 0.001)" in warnings[0]


def test_a_loss_that_leaves_the_plateau_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    assert follow([1.5] * 3 + [LN2] * 5 + [0.66] * 40, caplog) == []


def test_no_warning_where_none_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    assert follow([LN2] * 30, caplog, plateau_steps=0) == []


def test_a_loss_that_forgets_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = follow([0.6, 0.5, 0.4, 0.4, 0.5, 0.8, 0.9, 1.5, 3.0, 9.0], caplog)
    assert warning.startswith("step 800: the loss diverges: 1.500 now, 0.433 at best, 0.693 for a guess")
    assert "train.gradient_clip 1 (now 0)" in warning


def test_a_loss_that_runs_away_is_told(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = follow([1.4, 1.9, 2.5, 4.0, 8.0], caplog)
    assert "step 500: the loss diverges" in warning


def test_a_bad_beginning_and_a_single_peak_are_no_divergence(caplog: pytest.LogCaptureFixture) -> None:
    assert follow([2.9, 1.4, 0.9, 0.65, 0.6, 1.9, 0.6, 0.55], caplog) == []


def test_chance_of_the_other_objectives(caplog: pytest.LogCaptureFixture) -> None:
    """What a model that gives every pair the same answer cannot go below."""
    assert OBJECTIVES["contrastive"].chance_loss(64) == pytest.approx(math.log(64))
    # Odds of one to 63 for every pair: a match and 63 mismatches.
    expected = -math.log(1 / 64) - 63 * math.log(63 / 64)
    assert OBJECTIVES["sigmoid"].chance_loss(64) == pytest.approx(expected)
    # The contrastive loss is counted without the head's part, here ln 2.
    stuck = [math.log(64) + LN2] * 12
    (warning,) = follow(stuck, caplog, objective="contrastive", batch_size=64)
    assert "still 4.159, and 4.159 is a guess" in warning and "train.objective contrastive" not in warning


def unrelated(step: int) -> PairBatch:
    """A batch whose sounds have nothing to do with its frames."""
    pairs, generator = batch(step, matching_only=False), torch.Generator().manual_seed(step)
    order = torch.randperm(len(pairs.audio), generator=generator)
    return pairs._replace(audio=pairs.audio[order], matches=torch.rand(16, generator=generator) < 0.5)


def test_training_on_unrelated_sounds_stays_at_chance_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = settings(steps=120, log_every=20, plateau_steps=60)
    with caplog.at_level(logging.WARNING, "avcorr.model.training.watch"):
        train(tmp_path, chosen, (unrelated(step) for step in range(120)))
    assert read_metrics(tmp_path)[-1]["loss_mean"] > 0.65
    assert "nothing is learned" in caplog.text


def test_training_whose_data_turn_says_that_it_diverges(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After 40 steps matching pairs are called mismatching: what was learned is worse than a guess."""

    def turning() -> Iterator[PairBatch]:
        for step in range(60):
            pairs = batch(step, matching_only=False)
            yield pairs if step < 40 else pairs._replace(matches=~pairs.matches)

    chosen = settings(steps=60, log_every=2, learning_rate=3e-3, checkpoint_every=20, keep_checkpoints=1)
    with caplog.at_level(logging.WARNING, "avcorr.model.training.watch"):
        train(tmp_path, chosen, turning())
    (record,) = caplog.records
    assert re.match(r"step (4[6-9]|5\d): the loss diverges", record.getMessage())
    assert (best_checkpoint(tmp_path).step, latest_checkpoint(tmp_path).step) == (40, 60)


def test_training_that_learns_is_left_in_peace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = settings(steps=60, log_every=5, plateau_steps=40, learning_rate=3e-3)
    with caplog.at_level(logging.WARNING, "avcorr.model.training.watch"):
        train(tmp_path, chosen)
    assert caplog.text == ""
