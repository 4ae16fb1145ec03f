import numpy as np
import pytest

from model.avc import Head, correspondence, derange, distances
from model.errors import EvaluationError

HEAD = Head(slope=5.0, bias=6.0)


def units(generator: np.random.Generator, count: int, size: int = 16) -> np.ndarray:
    vectors = generator.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 1, 1), (3, 3), (5,) * 40, (7, 3, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_a_derangement_never_pairs_a_video_with_itself_and_uses_every_sound_once(sizes: tuple[int, ...], seed: int):
    videos = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    partners = derange(videos, np.random.default_rng(seed))
    assert (videos[partners] != videos).all()
    assert sorted(partners) == list(range(len(videos)))


def test_a_derangement_is_a_function_of_the_seed():
    videos = np.repeat(np.arange(30), 3)
    first, again, other = (derange(videos, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()


def test_a_derangement_mixes_partners_over_many_videos():
    videos = np.repeat(np.arange(100), 5)
    partners = videos[derange(videos, np.random.default_rng(0))].reshape(100, 5)
    assert np.mean([len(set(row)) for row in partners]) > 4.5


def test_one_video_with_most_views_is_refused():
    with pytest.raises(EvaluationError, match="'a' owns 3"):
        derange(np.array(["a", "a", "a", "b", "c"]), np.random.default_rng(0))


def test_perfect_embeddings_score_100_percent():
    image = np.eye(20, dtype=np.float32)
    result = correspondence(image, image, np.arange(20), HEAD, seed=0, bootstrap=100)
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
    head = Head(5.0, 5.0 * float(np.median(distances(image, audio))))
    result = correspondence(image, audio, np.repeat(np.arange(200), 3), head, seed=0, bootstrap=300)
    low, high = result["interval"]
    assert low < 0.5 < high
    assert 0.02 < high - low < 0.12
    assert result["roc_auc"] == pytest.approx(0.5, abs=0.05)


def test_collapsed_embeddings_score_exactly_one_half():
    same = np.ones((10, 4), np.float32) / 2
    result = correspondence(same, same, np.arange(10), HEAD, seed=0, bootstrap=50)
    assert result["accuracy"] == 0.5
    assert (result["positive_accuracy"], result["negative_accuracy"]) == (1.0, 0.0)
    assert result["roc_auc"] == 0.5
    assert result["diagnostic"]["best_threshold_accuracy"] == 0.5


def test_two_views_by_hand():
    """Distances: positives 0 and 2, negatives 1.414 and 1.414; the head cuts at 1.2."""
    image = np.array([[1, 0], [0, 1]], np.float32)
    audio = np.array([[1, 0], [0, -1]], np.float32)
    result = correspondence(image, audio, np.array(["a", "b"]), HEAD, seed=0, bootstrap=50)
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
    alone = correspondence(image, audio, np.arange(600), HEAD, seed=0, bootstrap=300)["interval"]
    grouped = correspondence(image, audio, np.repeat(np.arange(60), 10), HEAD, seed=0, bootstrap=300)["interval"]
    assert grouped[1] - grouped[0] > 2 * (alone[1] - alone[0])
