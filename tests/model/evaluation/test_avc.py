import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from avcorr.model.errors import EvaluationError
from avcorr.model.evaluation.avc import Decisions, correspondence, score_pairs
from avcorr.model.evaluation.bootstrap import intervals, weighted_mean, weighted_median
from avcorr.model.evaluation.pairing import APART_SECONDS, draw_negatives, first_negatives
from avcorr.model.evaluation.scorer import DistanceScorer
from avcorr.pipeline.correspondence.negatives import derange

HEAD = DistanceScorer(slope=5.0, bias=6.0)


def units(generator: np.random.Generator, count: int, size: int = 16) -> np.ndarray:
    vectors = generator.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def measure(
    image: np.ndarray,
    audio: np.ndarray,
    videos: np.ndarray,
    head: DistanceScorer = HEAD,
    bootstrap: int = 100,
    labels: str = "",
) -> dict:
    """Correspondence of clips with one view each."""
    views = np.arange(len(image))
    names = np.array(list(labels) or [""] * len(image))
    pairs = draw_negatives(views[:, None], np.zeros(len(image)), videos, names, 0, derange=derange)
    scored = score_pairs((image, audio), pairs, head)
    return correspondence(scored, videos, names, head, 0, bootstrap)


def test_one_video_with_most_views_is_refused():
    videos = np.array(["a", "a", "a", "b", "c"])
    with pytest.raises(EvaluationError, match="'a' owns 3"):
        first_negatives(np.arange(5)[:, None], videos, 0, derange=derange)


def test_perfect_embeddings_score_100_percent():
    image = np.eye(20, dtype=np.float32)
    result = measure(image, image, np.arange(20), bootstrap=100)
    assert result["accuracy"] == 1.0
    assert result["interval"] == [1.0, 1.0]
    assert result["roc_auc"] == 1.0
    assert result["pairs"] == 40
    assert result["positive_distance"] == 0.0
    assert result["negative_distance"] == pytest.approx(2**0.5)
    assert result["diagnostic"]["best_threshold_accuracy"] == 1.0


def test_random_embeddings_score_at_chance():
    generator = np.random.default_rng(1)
    image, audio = units(generator, 600), units(generator, 600)
    head = DistanceScorer(5.0, 5.0 * float(np.median(HEAD.gaps(image, audio))))
    result = measure(image, audio, np.repeat(np.arange(200), 3), head, bootstrap=300)
    low, high = result["interval"]
    assert low < 0.5 < high
    assert 0.02 < high - low < 0.12
    assert result["roc_auc"] == pytest.approx(0.5, abs=0.05)


def test_collapsed_embeddings_score_exactly_one_half():
    same = np.ones((10, 4), np.float32) / 2
    result = measure(same, same, np.arange(10), bootstrap=50)
    assert result["accuracy"] == 0.5
    assert (result["positive_accuracy"], result["negative_accuracy"]) == (1.0, 0.0)
    assert result["roc_auc"] == 0.5
    assert result["diagnostic"]["best_threshold_accuracy"] == 0.5


def test_two_views_by_hand():
    """Distances: positives 0 and 2, negatives 1.414 and 1.414; the head cuts at 1.2."""
    image = np.array([[1, 0], [0, 1]], np.float32)
    audio = np.array([[1, 0], [0, -1]], np.float32)
    result = measure(image, audio, np.array(["a", "b"]), bootstrap=50)
    assert result["positive_accuracy"] == 0.5
    assert result["negative_accuracy"] == 1.0
    assert result["accuracy"] == 0.75
    assert result["threshold"] == pytest.approx(1.2)
    assert result["roc_auc"] == 0.5
    assert result["diagnostic"] == {"best_threshold": 0.0, "best_threshold_accuracy": 0.75}
    histogram = result["histogram"]
    assert sum(histogram["positive"]) == sum(histogram["negative"]) == 2
    assert histogram["positive"][0] == histogram["positive"][-1] == 1


def test_the_interval_widens_when_views_share_videos():
    """The same hits are weaker evidence when ten views of one video agree with one another."""
    generator = np.random.default_rng(2)
    image = np.repeat(units(generator, 60, 64), 10, axis=0)
    audio = np.where(np.repeat(generator.random(60) < 0.5, 10)[:, None], image, -image)
    alone = measure(image, audio, np.arange(600), bootstrap=300)["interval"]
    grouped = measure(image, audio, np.repeat(np.arange(60), 10), bootstrap=300)["interval"]
    assert grouped[1] - grouped[0] > 2 * (alone[1] - alone[0])


def tied_gaps(generator: np.random.Generator, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Gaps with many ties, positives nearer."""
    return generator.integers(0, 12, count) / 8, generator.integers(4, 16, count) / 8


@pytest.mark.parametrize("seed", range(3))
def test_the_figures_agree_with_scikit_learn_and_torchmetrics(seed: int):
    """With ties, and under weights as the resampling gives them."""
    generator = np.random.default_rng(seed)
    positive, negative = tied_gaps(generator)
    decisions = Decisions(positive, negative, HEAD)
    weights = generator.integers(0, 4, (3, 400)).astype(float)
    weights[0] = 1.0
    found = decisions.measure(weights)
    logits = HEAD.bias - HEAD.slope * np.concatenate([positive, negative])
    truth = np.repeat([1, 0], 200)
    for row, own in enumerate(weights):
        assert found["roc_auc"][row] == pytest.approx(roc_auc_score(truth, logits, sample_weight=own))
        assert found["average_precision"][row] == pytest.approx(
            average_precision_score(truth, logits, sample_weight=own)
        )
        assert found["accuracy"][row] == pytest.approx(np.average((logits > 0) == truth, weights=own))
        repeated = np.repeat(np.arange(400), own.astype(int))
        error = binary_calibration_error(
            torch.from_numpy(1 / (1 + np.exp(-logits[repeated]))), torch.from_numpy(truth[repeated]), n_bins=15
        )
        assert found["calibration_error"][row] == pytest.approx(error.item(), abs=1e-6)


def test_the_calibration_error_by_hand():
    """p = 0.5 for all four pairs of gap 1.2; two of them match, so nothing is wrong; at gap 0 p is 1 - 0.0025."""
    middle = np.array([1.2, 1.2])
    level = Decisions(middle, middle, HEAD).measure(np.ones((1, 4)))
    assert level["calibration_error"][0] == pytest.approx(0.0, abs=1e-12)
    near = Decisions(np.zeros(2), np.zeros(2), HEAD).measure(np.ones((1, 4)))
    assert near["calibration_error"][0] == pytest.approx(1 / (1 + np.exp(-6)) - 0.5)
    assert (near["roc_auc"][0], near["average_precision"][0]) == (0.5, 0.5)


def test_a_head_of_the_other_sign_turns_the_ranking():
    positive, negative = np.array([1.9, 1.8]), np.array([0.1, 0.2])
    assert Decisions(positive, negative, HEAD).measure(np.ones((1, 4)))["roc_auc"][0] == 0.0
    assert Decisions(positive, negative, DistanceScorer(-5.0, -6.0)).measure(np.ones((1, 4)))["roc_auc"][0] == 1.0


def test_intervals_are_those_of_a_loop_over_resampled_videos():
    generator = np.random.default_rng(0)
    owners = generator.integers(0, 12, 60)
    values = generator.random(60)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": weighted_mean(weights, values), "median": weighted_median(weights, values)}

    found = intervals(figures, owners, 400, seed=7)
    drawn = np.random.default_rng(7).integers(0, 12, (400, 12))
    means, medians = [], []
    for videos in drawn:
        items = np.sort(np.concatenate([values[owners == video] for video in videos]))
        means.append(items.mean())
        medians.append(items[(len(items) - 1) // 2])
    assert found["mean"] == pytest.approx(np.quantile(means, [0.025, 0.975]))
    assert found["median"] == pytest.approx(np.quantile(medians, [0.025, 0.975]))


def test_an_interval_covers_the_truth_as_often_as_it_says():
    """Accuracies of 40 videos with 5 views each that share their video's luck."""
    covered = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        owners = np.repeat(np.arange(40), 5)
        values = (generator.random(200) < np.repeat(generator.beta(8, 2, 40), 5)).astype(float)
        bounds = intervals(lambda weights, own=values: {"mean": weighted_mean(weights, own)}, owners, 300, seed)
        covered += bounds["mean"][0] <= 0.8 <= bounds["mean"][1]
    assert 86 <= covered <= 99


def clips_with_views(clips: int = 24, per_clip: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Views in a row, half a second to five seconds apart; two clips a video, three classes, some without."""
    drawn = np.arange(clips * per_clip).reshape(clips, per_clip)
    times = np.tile([1.0, 1.5, 3.0, 6.0, 9.0], clips)
    return drawn, times, np.arange(clips) // 2, np.array(["a", "b", "c", ""])[np.arange(clips) % 4]


def test_each_kind_of_negative_is_what_it_says():
    drawn, times, videos, labels = clips_with_views()
    clip_of = np.arange(drawn.size) // drawn.shape[1]
    found = draw_negatives(drawn, times, videos, labels, seed=3, derange=derange)
    for pairs in found.values():
        assert (clip_of[pairs.frames] == pairs.clips).all()
        assert set(pairs.seeds) == {3, 4, 5, 6, 7}
        assert (pairs.frames == drawn[pairs.clips, pairs.seeds - 3]).all()
    other, same, alike = (found[kind] for kind in ("other_video", "same_clip", "same_class"))
    assert len(other.frames) == drawn.size
    assert (videos[clip_of[other.frames]] != videos[clip_of[other.sounds]]).all()
    assert sorted(other.sounds) == sorted(other.frames)
    assert (clip_of[same.frames] == clip_of[same.sounds]).all()
    assert (np.abs(times[same.frames] - times[same.sounds]) >= APART_SECONDS).all()
    assert len(same.frames) == drawn.size  # every view has another that is far enough
    assert (labels[clip_of[alike.frames]] == labels[clip_of[alike.sounds]]).all()
    assert (labels[alike.clips] != "").all() and len(alike.frames) == 18 * 5
    assert (videos[clip_of[alike.frames]] != videos[clip_of[alike.sounds]]).all()
    assert sorted(alike.sounds) == sorted(alike.frames)


def test_classes_of_one_video_and_clips_of_one_view_give_no_such_negatives():
    drawn = np.arange(6)[:, None]
    labels = np.array(["a", "a", "b", "b", "c", ""])
    found = draw_negatives(drawn, np.zeros(6), np.array([0, 0, 1, 2, 3, 4]), labels, seed=0, derange=derange)
    assert len(found["same_clip"].frames) == 0
    assert sorted(found["same_class"].clips) == [2, 3]


def test_kinds_of_negatives_and_classes_are_told_apart():
    """Sounds give the class away and nothing else: other videos' are told, those of the same class and clip not."""
    drawn, times, videos, _ = clips_with_views(60)
    labels = np.array(["a", "b", "c"])[np.arange(60) % 3]
    image = np.eye(3, dtype=np.float32)[np.arange(60) % 3].repeat(5, axis=0)
    scored = score_pairs((image, image), draw_negatives(drawn, times, videos, labels, 0, derange=derange), HEAD)
    result = correspondence(scored, videos, labels, HEAD, 0, 200)
    kinds = result["by_negative"]
    assert kinds["same_clip"]["accuracy"] == kinds["same_class"]["accuracy"] == 0.5
    assert kinds["same_clip"]["roc_auc"] == 0.5 and kinds["same_clip"]["pairs"] == 600
    told = [row["accuracy"] for row in result["per_class"].values()]
    assert result["accuracy"] == pytest.approx(np.mean(told)) == kinds["other_video"]["accuracy"]
    assert list(result["seeds"]) == ["0", "1", "2", "3", "4"]
    assert np.mean(list(result["seeds"].values())) == pytest.approx(result["accuracy"])
    assert 0.75 < result["accuracy"] < 0.9  # a third of the other videos are of the same class
    assert sum(row["pairs"] for row in result["per_class"].values()) == result["pairs"] == 600
    for row in result["per_class"].values():
        low, high = row["interval"]
        assert low <= row["accuracy"] <= high and row["videos"] == 20
