import math

import numpy as np
import pytest

from model import retrieval as module
from model.retrieval import DIRECTIONS, instance_metrics, label_metrics, nearest, own_ranks, retrieval

LINE = np.array([[0.0], [1.0], [2.1], [3.3]], np.float32)


def test_nearest_by_hand():
    found = nearest(LINE, LINE, 3, seed=0)
    assert found.tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 1]]


def test_the_own_video_is_taken_out():
    videos = np.array(["a", "a", "b", "c"])
    found = nearest(LINE, LINE, 3, 0, (videos, videos))
    assert found.tolist() == [[2, 3, -1], [2, 3, -1], [1, 3, 0], [2, 1, 0]]


def test_a_few_queries_rank_as_they_do_among_all():
    videos = np.array(["a", "a", "b", "c"])
    some = nearest(LINE[2:], LINE, 3, 0, (videos[2:], videos))
    assert some.tolist() == nearest(LINE, LINE, 3, 0, (videos, videos))[2:].tolist()


def test_label_metrics_by_hand():
    """Query 0 finds its label second, query 1 at once; two relevant clips each are in the gallery of four."""
    labels = np.array(["x", "x", "y", "y"])
    found = np.array([[2, 0, 3, 1], [1, 2, 0, 3], [0, 1, 2, 3], [3, 2, 1, 0]])
    result = label_metrics(found, labels, None, 30)
    ideal = 1 + 1 / math.log2(3)
    ndcg = [
        (1 / math.log2(3) + 1 / math.log2(5)) / ideal,
        (1 + 1 / math.log2(4)) / ideal,
        (1 / math.log2(4) + 1 / math.log2(5)) / ideal,
        1.0,
    ]
    assert result["recall_at_1"] == 0.5
    assert result["recall_at_5"] == 1.0
    assert result["ndcg_at_30"] == pytest.approx(np.mean(ndcg))
    assert result["label_queries"] == 4
    assert result["chance"]["recall_at_1"] == pytest.approx(0.5)
    every_rank = sum(1 / math.log2(rank + 1) for rank in range(1, 5))
    assert result["chance"]["ndcg_at_30"] == pytest.approx(0.5 * every_rank / ideal)


def test_the_ideal_ranking_is_over_the_gallery_not_the_retrieved_list():
    labels = np.array(["x", "x", "x", "y"])
    found = np.array([[0, 3], [1, 3], [2, 3], [3, 0]])
    ideal = 1 + 1 / math.log2(3)
    assert label_metrics(found, labels, None, 2)["ndcg_at_2"] == pytest.approx((3 / ideal + 1) / 4)


def test_queries_that_have_nothing_to_find_are_left_out():
    labels = np.array(["x", "x", "y", "x"])
    videos = np.array(["a", "a", "b", "c"])
    result = label_metrics(nearest(LINE, LINE, 10, 0, (videos, videos)), labels, videos, 30)
    assert result["label_queries"] == 3
    assert result["recall_at_1"] == 0.0  # clip 2 lies between
    assert result["recall_at_5"] == 1.0
    assert result["chance"]["recall_at_1"] == pytest.approx(np.mean([1 / 2, 1 / 2, 2 / 3]))


def test_instance_metrics_by_hand():
    result = instance_metrics(np.array([1, 2, 6, 20] + [40] * 36))
    assert result["instance_recall_at_1"] == 1 / 40
    assert result["instance_recall_at_5"] == 2 / 40
    assert result["instance_recall_at_10"] == 3 / 40
    assert result["median_rank"] == 40
    assert result["chance"]["instance_recall_at_10"] == 10 / 40
    assert result["chance"]["median_rank"] == 20.5


def test_own_ranks_by_hand():
    audio = np.array([[0.9], [0.1], [2.0], [9.0]], np.float32)
    assert own_ranks(LINE, audio, 0).tolist() == [2, 2, 1, 4]


def test_ties_count_once_and_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch):
    same = np.ones((50, 4), np.float32)
    ranks = own_ranks(same, same, seed=3)
    assert sorted(ranks) == list(range(1, 51))
    found = nearest(same, same, 10, seed=3)
    assert all(len(set(row)) == 10 for row in found.tolist())
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 150)
    assert (own_ranks(same, same, seed=3) == ranks).all()
    assert (nearest(same, same, 10, seed=3) == found).all()
    assert (own_ranks(same, same, seed=4) != ranks).any()


def test_the_nearest_agree_with_a_full_sort():
    generator = np.random.default_rng(0)
    image, audio = generator.normal(size=(2, 60, 8)).astype(np.float32)
    gaps = np.linalg.norm(image[:, None].astype(np.float64) - audio[None], axis=2)
    assert (nearest(image, audio, 30, 0) == np.argsort(gaps, axis=1)[:, :30]).all()
    assert (own_ranks(image, audio, 0) == 1 + (gaps < np.diag(gaps)[:, None]).sum(axis=1)).all()


def test_random_embeddings_score_close_to_the_printed_chance():
    generator = np.random.default_rng(5)
    image, audio = generator.normal(size=(2, 800, 32)).astype(np.float32)
    labels = generator.choice(["a", "b", "c", "d"], 800, p=[0.55, 0.25, 0.15, 0.05])
    results = retrieval(image, audio, labels, np.arange(800) // 2, depth=30, seed=0)
    for direction, row in results.items():
        for name, chance in row["chance"].items():
            tolerance = 60 if name == "median_rank" else 0.06
            assert row[name] == pytest.approx(chance, abs=tolerance), (direction, name)


def test_perfect_embeddings_score_one_in_every_direction():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0) + 0.01 * np.eye(20, dtype=np.float32)[:, :4]
    vectors = np.concatenate([vectors, 0.1 * np.eye(20, dtype=np.float32)], axis=1)
    labels = np.repeat(["a", "b", "c", "d"], 5)
    results = retrieval(vectors, vectors, labels, np.arange(20), depth=30, seed=0)
    assert tuple(results) == DIRECTIONS
    for row in results.values():
        assert row["recall_at_1"] == row["ndcg_at_30"] == 1.0
    assert results["image_to_audio"]["instance_recall_at_1"] == 1.0
    assert results["audio_to_image"]["median_rank"] == 1
    assert "median_rank" not in results["image_to_image"]


def test_unlabelled_clips_take_no_part_in_label_metrics():
    generator = np.random.default_rng(0)
    image, audio = generator.normal(size=(2, 40, 8)).astype(np.float32)
    labels = np.array(["x", "y"] * 10 + [""] * 20)
    mixed = retrieval(image, audio, labels, np.arange(40), depth=30, seed=0)
    alone = retrieval(image[:20], audio[:20], labels[:20], np.arange(20), depth=30, seed=0)
    assert mixed["image_to_audio"]["ndcg_at_30"] == alone["image_to_audio"]["ndcg_at_30"]
    assert mixed["image_to_audio"]["chance"]["median_rank"] == 20.5
    none = retrieval(image, audio, np.array([""] * 40), np.arange(40), depth=30, seed=0)
    assert none["image_to_image"] == {"gallery": 40, "label_queries": 0, "chance": {}}
    assert set(none["image_to_audio"]["chance"]) == {
        "instance_recall_at_1",
        "instance_recall_at_5",
        "instance_recall_at_10",
        "median_rank",
    }
