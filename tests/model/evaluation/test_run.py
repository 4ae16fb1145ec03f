import hashlib
import json
import re
import resource
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from avcorr.model.correspondence import build_model
from avcorr.model.embedding.embed import Embeddings, embed
from avcorr.model.errors import EvaluationError
from avcorr.model.evaluation.evaluate import Evaluation, Plan, evaluate, pool
from avcorr.model.evaluation.evaluation_folder import read_evaluation, read_part, write_evaluation
from avcorr.model.evaluation.sanity import Check
from avcorr.model.evaluation.scorer import DistanceScorer, scorer_of
from avcorr.model.evaluation.table import table
from avcorr.model.settings import EvalSettings, ModelSettings, SpectrogramSettings
from avcorr.pipeline.correspondence.negatives import derange

HEAD = DistanceScorer(slope=5.0, bias=6.0)
CPU = torch.device("cpu")


class Batch(NamedTuple):
    frames: torch.Tensor
    audio: torch.Tensor
    clips: torch.Tensor
    times: torch.Tensor


class Tiny(torch.nn.Module):
    """Two small towers with batch normalisation, which in training mode would see the batch."""

    has_shared_space = False

    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Sequential(torch.nn.Linear(48, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 8))
        self.audio = torch.nn.Sequential(torch.nn.Linear(100, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 8))

    def image_features(self, frames: torch.Tensor) -> torch.Tensor:
        return self.image(frames.flatten(1).float() / 255)

    def audio_features(self, audio: torch.Tensor) -> torch.Tensor:
        return self.audio(audio.float() / 32768)

    def to_embeddings(self, features: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(features, dim=1)


@dataclass(frozen=True)
class Clip:
    key: str
    video: str
    label: str


def views(batch_size: int, count: int = 23) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (count, 4, 4, 3), generator=generator, dtype=torch.uint8)
    audio = torch.randint(-9000, 9000, (count, 100), generator=generator, dtype=torch.int16)
    clips, times = torch.arange(count) // 5, torch.arange(count, dtype=torch.float64) / 2
    columns = [column.split(batch_size) for column in (frames, audio, clips, times)]
    return [Batch(*parts) for parts in zip(*columns, strict=True)]


def fabricated(clips: int = 40, per_clip: int = 3) -> tuple[Embeddings, list[Clip]]:
    """Embeddings whose clips of a class lie together; image and audio of a clip agree but for noise."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, 128))
    own = np.repeat(centres[np.arange(clips) % 4] + 0.4 * generator.normal(size=(clips, 128)), per_clip, axis=0)
    image, audio = (own + 0.3 * generator.normal(size=own.shape) for _ in range(2))
    image, audio = (
        (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32) for vectors in (image, audio)
    )
    records = [Clip(f"clip{index:03d}", f"video{index // 2:02d}", "abcd"[index % 4]) for index in range(clips)]
    times = np.tile(0.5 + np.arange(per_clip, dtype=np.float64), clips)
    return Embeddings(image, audio, np.repeat(np.arange(clips), per_clip), times), records


def plan(clips: int = 40, per_clip: int = 3) -> Plan:
    """Every view is drawn once, and the middle one stands for its clip."""
    views = np.arange(clips * per_clip).reshape(clips, per_clip)
    return Plan(views, views[:, per_clip // 2 : per_clip // 2 + 1])


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    embeddings, clips = fabricated()
    return evaluate(
        embeddings, clips, plan(), HEAD, EvalSettings(tsne_classes=3, bootstrap=100), {"step": 70}, derange=derange
    )


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64, 70])
def test_the_batch_size_does_not_change_a_digit(batch_size: int):
    torch.manual_seed(0)
    model = Tiny().train()
    some, all_at_once = embed(model, views(batch_size, 70), CPU), embed(model, views(32, 70), CPU)
    assert some.image.dtype == some.audio.dtype == np.float32
    assert some.clips.tolist() == all_at_once.clips.tolist() == [index // 5 for index in range(70)]
    assert some.times.tolist() == all_at_once.times.tolist()
    np.testing.assert_array_equal(some.image, all_at_once.image)
    np.testing.assert_array_equal(some.audio, all_at_once.audio)
    assert some.features is not None and all_at_once.features is not None
    assert some.rows(np.array([3])).head_inputs[0].shape == (1, 8)
    np.testing.assert_array_equal(some.features[1], all_at_once.features[1])
    assert model.training


def test_networks_without_a_shared_space_are_judged_by_their_own_head():
    """L3-Net's probability is no function of a distance, and AVOL-Net's features are maps."""
    for values in ({"architecture": "l3net"}, {"architecture": "avenet", "localise": True}):
        spectrogram = SpectrogramSettings(sample_rate=8000, window=256, hop=64, mel_bins=32)
        model = build_model(
            ModelSettings.model_validate({**values, "width": 8, "spectrogram": spectrogram}), seed=0
        ).eval()
        generator = torch.Generator().manual_seed(0)
        frames = torch.randint(256, (12, 32, 32, 3), generator=generator).to(torch.uint8)
        audio = torch.randint(-9000, 9000, (12, 2000), generator=generator).to(torch.int16)
        batch = Batch(frames, audio, torch.arange(12), torch.zeros(12, dtype=torch.float64))
        embeddings, scorer = embed(model, [batch], CPU), scorer_of(model, CPU)
        with torch.no_grad():
            logits = model.logits(model.image_features(frames), model.audio_features(audio))
        np.testing.assert_allclose(scorer.gaps(*embeddings.head_inputs), -logits.numpy(), atol=5e-3)
        np.testing.assert_allclose(np.linalg.norm(embeddings.image, axis=1), 1, atol=1e-5)
        clips = [Clip(f"clip{index}", f"video{index}", "ab"[index % 2]) for index in range(12)]
        result = evaluate(
            embeddings, clips, plan(12, 1), scorer, EvalSettings(bootstrap=10, tsne_classes=2), {}, derange=derange
        ).metrics["avc"]
        assert (result["judged_by"], result["threshold"]) == ("logit", 0.0)
        assert result["positive_accuracy"] == (logits > 0).float().mean().item()


def test_the_judge_of_a_distance_is_the_models_head():
    model = build_model(ModelSettings(width=8), seed=0)
    assert scorer_of(model, CPU) == pytest.approx(DistanceScorer(5.0, 6.0))


def test_nothing_to_embed_is_an_error():
    with pytest.raises(EvaluationError, match="no view"):
        embed(Tiny(), [], CPU)


def test_nan_embeddings_are_an_error():
    model = Tiny()
    torch.nn.init.constant_(model.audio[0].weight, torch.nan)
    with pytest.raises(EvaluationError, match="23 of 23 audio embeddings"):
        embed(model, views(8), CPU)


def test_pooling_takes_the_mean_direction():
    embeddings, _ = fabricated(clips=4, per_clip=4)
    views = np.arange(16).reshape(4, 4)
    one, mean = pool(embeddings, views[:, 1:2]), pool(embeddings, views)
    np.testing.assert_array_equal(one.image, embeddings.image[1::4])
    assert one.times.tolist() == [1.5] * 4 and mean.times.tolist() == [2.5] * 4
    expected = embeddings.audio[4:8].astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(mean.audio[1], expected / np.linalg.norm(expected), atol=1e-6)
    assert mean.clips.tolist() == [0, 1, 2, 3]


def test_metrics_say_what_was_measured(evaluation: Evaluation):
    metrics = evaluation.metrics
    keys = "\n".join(f"clip{index:03d}" for index in range(40))
    assert metrics["gallery_sha256"] == hashlib.sha256(keys.encode()).hexdigest()
    assert (metrics["step"], metrics["clips"], metrics["videos"], metrics["views"]) == (70, 40, 20, 120)
    assert (metrics["classes"], metrics["labelled_clips"], metrics["split"]) == (4, 40, "test")
    assert metrics["avc"]["pairs"] == 240
    assert metrics["retrieval"]["image_to_audio"]["recall_at_1"] > 0.9
    assert metrics["retrieval"]["image_to_audio"]["label_queries"] == 40
    assert metrics["protocol"]["name"] == "full/center" and metrics["seeds"] == [0, 1, 2]
    assert "bootstrap over source videos" in metrics["protocol"]["avc"]
    assert metrics["protocol"]["gains"] == {"ndcg_at_30": "1 for the same label, else 0"}


def test_an_evaluation_is_a_function_of_its_inputs(evaluation: Evaluation):
    embeddings, clips = fabricated()
    again = evaluate(
        embeddings, clips, plan(), HEAD, EvalSettings(tsne_classes=3, bootstrap=100), {"step": 70}, derange=derange
    )
    assert again.metrics == evaluation.metrics
    assert again.examples == evaluation.examples
    assert again.wanted == evaluation.wanted


def test_results_do_not_depend_on_the_order_of_views(evaluation: Evaluation):
    embeddings, clips = fabricated()
    order = np.random.default_rng(1).permutation(len(embeddings))
    places = np.argsort(order)
    moved = Plan(*(places[views] for views in plan()))
    settings = EvalSettings(tsne_classes=3, bootstrap=100)
    again = evaluate(embeddings.rows(order), clips, moved, HEAD, settings, {"step": 70}, derange=derange)
    assert again.metrics == evaluation.metrics
    assert again.examples == evaluation.examples


def test_examples_follow_the_protocol(evaluation: Evaluation):
    _, clips = fabricated()
    assert len(evaluation.wanted) == len(set(evaluation.wanted))
    for direction in evaluation.examples["directions"]:
        assert len(direction["rows"]) == 4
        for row in direction["rows"]:
            query = row["query"]
            assert evaluation.wanted[query["media"]] == (query["clip"], query["seconds"])
            assert len(row["results"]) == 5
            gaps = [result["distance"] for result in row["results"]]
            assert gaps == sorted(gaps)
            for result in row["results"]:
                assert result["same_label"] == (result["label"] == query["label"])
                if direction["query"] == direction["result"]:
                    assert clips[result["clip"]].video != clips[query["clip"]].video


def test_the_projection_shows_the_drawn_classes(evaluation: Evaluation):
    projection = evaluation.projection
    assert projection is not None
    assert len(projection["classes"]) == 3
    assert len(projection["items"]) == len(projection["image"]) == len(projection["audio"]) == 30
    for item, label in zip(projection["items"], projection["labels"], strict=True):
        assert projection["classes"][label] == item["label"] == "abcd"[item["clip"] % 4]
        assert evaluation.wanted[item["media"]] == (item["clip"], item["seconds"])
    assert np.abs(projection["image"]).max() == 1.0


def test_without_labels_there_is_no_projection_and_no_label_metric():
    embeddings, clips = fabricated()
    bare = [Clip(clip.key, clip.video, "") for clip in clips]
    result = evaluate(embeddings, bare, plan(), HEAD, EvalSettings(bootstrap=20), {}, derange=derange)
    assert result.projection is None
    assert "recall_at_1" not in result.metrics["retrieval"]["image_to_audio"]
    assert result.examples["directions"][0]["rows"][0]["results"][0]["same_label"] is None
    assert "Median rank" in table(result.metrics)


def test_writing_replaces_an_earlier_evaluation_of_the_name(evaluation: Evaluation, tmp_path: Path):
    media = dict.fromkeys(evaluation.wanted[1:], (b"picture", b"sound"))
    whole = dict.fromkeys(evaluation.wanted, (b"old", b"old"))
    write_evaluation(evaluation, tmp_path, whole, {})
    write_evaluation(evaluation, tmp_path, whole, {}, "other")
    path = write_evaluation(evaluation, tmp_path, media, {})
    assert path == tmp_path / "eval" / "dataset-test-full-center" / "metrics.json"
    assert json.loads(path.read_text()) == evaluation.metrics == read_evaluation(path.parent)
    assert json.loads((path.parent / "examples.json").read_text()) == evaluation.examples
    assert read_part(path.parent, "projection") == evaluation.projection
    assert not (path.parent / "media" / "0.jpg").exists()
    assert (path.parent / "media" / "1.wav").read_bytes() == b"sound"
    assert (tmp_path / "eval" / "other" / "media" / "0.jpg").read_bytes() == b"old"
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_a_full_disk_leaves_the_earlier_evaluation_whole(evaluation: Evaluation, tmp_path: Path, size: int):
    path = write_evaluation(evaluation, tmp_path, {}, {})
    before = {each.name: each.read_bytes() for each in path.parent.glob("*.json")}
    media = dict.fromkeys(evaluation.wanted, (bytes(200_000), b""))
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_evaluation(evaluation, tmp_path, media if size else {}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert {each.name: each.read_bytes() for each in path.parent.glob("*.json")} == before
    assert [each.name for each in (tmp_path / "eval").iterdir()] == [path.parent.name]


def test_what_a_kill_between_two_renames_left_is_put_back(evaluation: Evaluation, tmp_path: Path):
    folder = write_evaluation(evaluation, tmp_path, {}, {}).parent
    folder.rename(folder.with_name(f".{folder.name}.old.tmp"))
    (tmp_path / "eval" / ".x.0a1b2c3d.new.tmp").mkdir()
    write_evaluation(evaluation, tmp_path, {}, {}, "other")
    assert sorted(each.name for each in (tmp_path / "eval").iterdir()) == [folder.name, "other"]
    assert read_evaluation(folder) == evaluation.metrics


def test_noise_of_threads_does_not_show(evaluation: Evaluation):
    embeddings, clips = fabricated()
    noise = np.random.default_rng(2).normal(size=embeddings.image.shape).astype(np.float32) * 1e-7
    settings = EvalSettings(tsne_classes=3, bootstrap=100)
    moved = replace(embeddings, image=embeddings.image + noise)
    assert not np.array_equal(moved.image, embeddings.image)
    again = evaluate(moved, clips, plan(), HEAD, settings, {"step": 70}, derange=derange).metrics["avc"]
    for name in ("calibration_error", "intervals", "positive_distance", "negative_distance", "by_negative"):
        assert again[name] == evaluation.metrics["avc"][name], name


def test_the_table_prints_chance_and_interval_beside_every_value(evaluation: Evaluation):
    text = table(evaluation.metrics)
    assert "chance 50.0 %" in text
    assert "40 clips of 20 videos" in text
    assert "240 pairs" in text
    assert f"protocol full/center, gallery {evaluation.metrics['gallery_sha256'][:12]}, seeds 0, 1, 2" in text
    rows = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    (own,) = [row[1:] for row in rows if row[0] == "Recall at 1" and row[1] == "-"]
    assert own[0] == own[-1] == "-" and "(2.5 %)" in own[1]
    assert "(20)" in next(row[2] for row in rows if row[0] == "Median rank")
    for name in ("Recall at 10", "MRR", "mAP", "Precision at 5", "nDCG at 30"):
        cells = next(row[1:] for row in rows if row[0] == name)
        assert len(cells) == 4, name
        assert all(re.fullmatch(r"[0-9.]+ % \[[0-9.]+–[0-9.]+\] \([0-9.]+ %\)", cell) for cell in cells), name
    assert ["Queries with a label", *("40",) * 4] in rows and ["Gallery", *("40",) * 4] in rows
    assert "d: " in text and "pairs of" in text


def test_what_failed_stands_above_the_results(evaluation: Evaluation):
    checks = [Check("silence", False, "leaks"), Check("batch size", True, "fine"), Check("leakage", None, "too few")]
    metrics = {**evaluation.metrics, "sanity": [vars(check) for check in checks]}
    text = table(metrics)
    assert text.startswith("FAILED: silence: leaks")
    assert "1 of 2 passed" in text and "not checked: leakage: too few" in text


def test_views_of_unknown_clips_are_refused():
    embeddings, clips = fabricated()
    with pytest.raises(EvaluationError, match="39 clip records"):
        evaluate(embeddings, clips[:-1], plan(), HEAD, EvalSettings(), {}, derange=derange)
