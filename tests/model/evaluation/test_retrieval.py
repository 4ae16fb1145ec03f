import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, ndcg_score
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_reciprocal_rank,
)

from avcorr.model.errors import EvaluationError
from avcorr.model.evaluation import retrieval as module
from avcorr.model.evaluation.ranking import chance_of_scores, ndcg, scores
from avcorr.model.evaluation.relevance import Ontology, SameLabel, SharedLabels
from avcorr.model.evaluation.retrieval import DIRECTIONS, by_relevance, instance_metrics, nearest, own_ranks, retrieval

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


def test_scores_by_hand():
    """Gains in ranked order; query 0 finds its two items at ranks 2 and 4, query 1 at 1 and 3, query 2 nothing."""
    ranked = np.array([[0.0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
    found = scores(ranked)
    assert found["recall_at_1"].tolist() == [0, 1, 0]
    assert found["recall_at_5"].tolist() == [1, 1, 0]
    assert found["precision_at_5"].tolist() == [0.4, 0.4, 0]
    assert found["mrr"].tolist() == [0.5, 1, 0]
    assert found["map"] == pytest.approx([(1 / 2 + 2 / 4) / 2, (1 + 2 / 3) / 2, 0])
    assert found["first_rank"].tolist() == [2, 1, math.inf]
    ideal = 1 + 1 / math.log2(3)
    reached, expected = ndcg(ranked, ranked, np.full(3, 4), 30)
    gained = [1 / math.log2(3) + 1 / math.log2(5), 1 + 1 / math.log2(4), 0]
    assert reached == pytest.approx(np.array(gained) / ideal)
    every_rank = sum(1 / math.log2(rank + 1) for rank in range(1, 5))
    assert expected == pytest.approx([0.5 * every_rank / ideal, 0.5 * every_rank / ideal, 0])


def test_the_ideal_ranking_is_over_the_gallery_not_the_retrieved_list():
    """Graded gains: 3 and 1 were to be found; the list of two has the 1 alone."""
    reached, _ = ndcg(np.array([[0.0, 1.0, 3.0]]), np.array([[3.0, 0.0, 1.0]]), np.array([3]), 2)
    assert reached == pytest.approx((1 / math.log2(3)) / (3 + 1 / math.log2(3)))


def test_queries_that_have_nothing_to_find_are_left_out():
    labels = SameLabel(np.array(["x", "x", "y", "x"]))
    videos = np.array(["a", "a", "b", "c"])
    result = by_relevance(LINE, LINE, videos, labels, "image_to_image", 30, 0, 50)
    assert result["label_queries"] == 3
    assert result["recall_at_1"] == 0.0  # clip 2 lies between
    assert result["recall_at_5"] == 1.0
    assert result["first_rank"] == 2.0
    assert result["chance"]["recall_at_1"] == pytest.approx(np.mean([1 / 2, 1 / 2, 2 / 3]))


def test_instance_metrics_by_hand():
    result = instance_metrics(np.array([1, 2, 6, 20] + [40] * 36), np.arange(40), 100, 0)
    assert result["instance_recall_at_1"] == 1 / 40
    assert result["instance_recall_at_5"] == 2 / 40
    assert result["instance_recall_at_10"] == 3 / 40
    assert result["instance_mrr"] == pytest.approx((1 + 1 / 2 + 1 / 6 + 1 / 20 + 36 / 40) / 40)
    assert result["median_rank"] == 40
    assert result["chance"]["instance_recall_at_10"] == 10 / 40
    assert result["chance"]["instance_mrr"] == pytest.approx(sum(1 / rank for rank in range(1, 41)) / 40)
    assert result["chance"]["median_rank"] == 20.5
    low, high = result["interval"]["instance_recall_at_10"]
    assert 0 <= low < 3 / 40 < high < 0.2


def tied_clips(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Image and audio on a coarse grid, so that distances tie and are exact; labels; two clips to most videos."""
    generator = np.random.default_rng(seed)
    image, audio = generator.integers(0, 3, (2, count, 3)).astype(np.float32)
    return image, audio, generator.choice(["a", "b", "c", ""], count), np.arange(count) // 2


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("seed", range(2))
def test_figures_agree_with_torchmetrics_scikit_learn_and_a_loop_where_distances_tie(direction: str, seed: int):
    """Ties have one order, the seeded one; under it the references see scores without ties."""
    image, audio, labels, videos = tied_clips(seed)
    vectors = {"image": image, "audio": audio}
    asked, looked = (vectors[name] for name in module.modalities(direction))
    found = by_relevance(asked, looked, videos, SameLabel(labels), direction, 30, seed, 20)
    known = np.flatnonzero(labels != "")
    place = np.argsort(np.random.default_rng(seed).permutation(len(known)))
    columns: dict[str, list[float]] = {}
    for query in known:
        gaps = np.square(asked[query].astype(float) - looked[known]).sum(axis=1) * 1000 + place
        assert len(set(gaps)) < 1000 and len(set(gaps // 1000)) < len(known) / 2  # there are many ties
        kept = np.full(len(known), True) if asked is not looked else videos[known] != videos[query]
        truth, score = (labels[known] == labels[query])[kept], 1e5 - gaps[kept]  # torchmetrics wants them positive
        if not truth.any():
            continue
        preds, target = torch.from_numpy(score), torch.from_numpy(truth)
        reference = {f"recall_at_{k}": retrieval_hit_rate(preds, target, top_k=k) for k in (1, 5, 10)}
        reference |= {f"precision_at_{k}": retrieval_precision(preds, target, top_k=k) for k in (5, 10)}
        reference |= {
            "mrr": retrieval_reciprocal_rank(preds, target),
            "map": retrieval_average_precision(preds, target),
            "ndcg_at_30": retrieval_normalized_dcg(preds, target, top_k=30),
        }
        assert reference["map"] == pytest.approx(average_precision_score(truth, score), abs=1e-6)
        assert reference["ndcg_at_30"] == pytest.approx(ndcg_score([truth], [score], k=30), abs=1e-6)
        ranking = sorted(zip(score, truth, strict=True), reverse=True)
        reference["first_rank"] = 1 + [relevant for _, relevant in ranking].index(True)
        for name, value in reference.items():
            columns.setdefault(name, []).append(float(value))
    assert found["label_queries"] == len(columns["map"])
    assert found["first_rank"] == np.median(columns.pop("first_rank"))
    for name, values in columns.items():
        assert found[name] == pytest.approx(np.mean(values), abs=1e-6), name


def test_over_the_orders_of_ties_ndcg_averages_to_that_of_scikit_learn():
    """scikit-learn takes the mean over all orders of what ties; ours is one of them, drawn by the seed."""
    image, audio, labels, videos = tied_clips(0)
    labels[labels == ""] = "a"
    gaps = np.square(image[:, None].astype(float) - audio[None]).sum(axis=2)
    expected = ndcg_score(labels[:, None] == labels[None], -gaps, k=30)
    means = [
        by_relevance(image, audio, videos, SameLabel(labels), "image_to_audio", 30, seed, 1)["ndcg_at_30"]
        for seed in range(200)
    ]
    assert np.mean(means) == pytest.approx(expected, abs=0.003)
    assert np.std(means) > 0.001


def test_graded_ndcg_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    gains = np.exp2(generator.integers(0, 8, (20, 50))) - 1.0
    score = generator.random((20, 50))
    ranked = np.take_along_axis(gains, np.argsort(-score, axis=1), axis=1)
    reached, expected = ndcg(ranked, gains, np.full(20, 50), 30)
    assert reached.mean() == pytest.approx(ndcg_score(gains, score, k=30))
    shuffled = [ndcg_score(gains, generator.random((20, 50)), k=30) for _ in range(300)]
    assert expected.mean() == pytest.approx(np.mean(shuffled), abs=0.005)


@pytest.mark.parametrize(("relevant", "eligible"), [(1, 1), (1, 7), (3, 7), (7, 7), (4, 60)])
def test_chance_is_what_random_rankings_score(relevant: int, eligible: int):
    generator = np.random.default_rng(0)
    ranked = generator.permuted(np.tile(np.arange(eligible) < relevant, (20000, 1)), axis=1).astype(float)
    chance = chance_of_scores(np.array([relevant]), np.array([eligible]))
    for name, values in scores(ranked).items():
        if name == "first_rank":
            assert abs(chance[name][0] - np.median(values)) <= 0.5
        else:
            assert chance[name][0] == pytest.approx(values.mean(), abs=0.012), name


def test_intervals_hold_the_figure_and_shrink_with_more_videos():
    generator = np.random.default_rng(0)
    image = generator.normal(size=(400, 8)).astype(np.float32)
    audio = image + generator.normal(size=(400, 8)).astype(np.float32)
    labels = SameLabel(generator.choice(["a", "b"], 400))
    many = retrieval(image, audio, np.arange(400), [labels], 30, 0, 200)["image_to_audio"]
    few = retrieval(image, audio, np.arange(400) // 20, [labels], 30, 0, 200)["image_to_audio"]
    for name, (low, high) in many["interval"].items():
        assert low <= many[name] <= high, name
    assert set(many["interval"]) == set(many["chance"])
    assert few["instance_mrr"] == many["instance_mrr"]


ONTOLOGY = [
    {"id": "/m/0", "name": "Music", "child_ids": ["/m/1", "/m/2"]},
    {"id": "/m/1", "name": "Guitar", "child_ids": ["/m/3", "/m/4"]},
    {"id": "/m/2", "name": "Drum", "child_ids": []},
    {"id": "/m/3", "name": "Acoustic guitar", "child_ids": []},
    {"id": "/m/4", "name": "Electric guitar", "child_ids": []},
    {"id": "/m/5", "name": "Wind", "child_ids": []},
]


def test_gains_of_an_ontology_by_hand(tmp_path: Path):
    """Acoustic and electric guitar are 2 apart, acoustic guitar and drum 3; wind is in another tree."""
    path = tmp_path / "ontology.json"
    path.write_text(json.dumps(ONTOLOGY))
    labels = np.array(["acoustic guitar", "Electric guitar", "Drum", "/m/3; Drum", "", "Wind"])
    ontology = Ontology(labels, path)
    assert ontology.known.tolist() == [True, True, True, True, False, True]
    known = np.flatnonzero(ontology.known)
    steps = 20 - np.log2(ontology.gains(known, known, "image_to_audio") + 1)
    expected = [[0, 2, 3, 0, 4], [2, 0, 3, 2, 4], [3, 3, 0, 0, 3], [0, 2, 0, 0, 3], [4, 4, 3, 3, 0]]
    np.testing.assert_allclose(steps, expected, atol=1e-4)


def test_labels_that_an_ontology_lacks_are_named(tmp_path: Path):
    path = tmp_path / "ontology.json"
    path.write_text(json.dumps(ONTOLOGY))
    with pytest.raises(EvaluationError, match="lacks 1 of the labels, 'tuba'"):
        Ontology(np.array(["Drum", "tuba"]), path)
    path.write_text("{}")
    with pytest.raises(EvaluationError, match="is no ontology"):
        Ontology(np.array(["Drum"]), tmp_path / "nothing.json")


def test_an_ontology_gives_an_ndcg_of_its_own(tmp_path: Path):
    path = tmp_path / "ontology.json"
    path.write_text(json.dumps(ONTOLOGY))
    labels = np.array(["Drum", "Acoustic guitar", "Electric guitar", "Wind"] * 5)
    audio = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    kinds = [SameLabel(labels), Ontology(labels, path)]
    row = retrieval(audio, audio, np.arange(20), kinds, 30, 0, 20)["audio_to_audio"]
    assert 0 < row["chance"]["ndcg_at_30_ontology"] < row["ndcg_at_30_ontology"] + 0.5 < 1.5
    assert row["ndcg_at_30_ontology"] != row["ndcg_at_30"]
    assert set(row["interval"]) == set(row["chance"]) and "recall_at_1_ontology" not in row


def test_shared_labels_count_in_the_modality_in_which_they_are_perceived():
    """Clip 0 sounds like a dog and rain and shows a dog, clip 1 shows rain, clip 2 sounds like it, 3 has none."""
    audible = np.array([[1, 1], [0, 0], [0, 1], [0, 0]], bool)
    visible = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], bool)
    labels = SharedLabels(audible, visible, "a source")
    assert labels.known.tolist() == [True, True, True, False]
    rows = np.arange(3)
    assert labels.gains(rows, rows, "audio_to_image").tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert labels.gains(rows, rows, "image_to_audio").tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert labels.gains(rows, rows, "audio_to_audio").tolist() == [[2, 0, 1], [0, 0, 0], [1, 0, 1]]
    found = by_relevance(LINE, LINE, np.arange(4), labels, "audio_to_image", 30, 0, 10)
    assert found["label_queries"] == 2  # clip 1 cannot be heard


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
    results = retrieval(image, audio, np.arange(800) // 2, [SameLabel(labels)], 30, 0, 10)
    for direction, row in results.items():
        for name, chance in row["chance"].items():
            tolerance = 60 if name == "median_rank" else 0.06
            assert row[name] == pytest.approx(chance, abs=tolerance), (direction, name)


def test_perfect_embeddings_score_one_in_every_direction():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0) + 0.01 * np.eye(20, dtype=np.float32)[:, :4]
    vectors = np.concatenate([vectors, 0.1 * np.eye(20, dtype=np.float32)], axis=1)
    labels = np.repeat(["a", "b", "c", "d"], 5)
    results = retrieval(vectors, vectors, np.arange(20), [SameLabel(labels)], 30, 0, 10)
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
    mixed = retrieval(image, audio, np.arange(40), [SameLabel(labels)], 30, 0, 10)
    alone = retrieval(image[:20], audio[:20], np.arange(20), [SameLabel(labels[:20])], 30, 0, 10)
    assert mixed["image_to_audio"]["ndcg_at_30"] == alone["image_to_audio"]["ndcg_at_30"]
    assert mixed["image_to_audio"]["chance"]["median_rank"] == 20.5
    none = retrieval(image, audio, np.arange(40), [SameLabel(np.array([""] * 40))], 30, 0, 10)
    assert none["image_to_image"] == {"gallery": 40, "label_queries": 0, "chance": {}, "interval": {}}
    assert set(none["image_to_audio"]["chance"]) == {
        "instance_recall_at_1",
        "instance_recall_at_5",
        "instance_recall_at_10",
        "instance_mrr",
        "median_rank",
    }
