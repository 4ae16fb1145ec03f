import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from model.avc import Head
from model.embed import Embeddings, embed
from model.errors import EvaluationError
from model.evaluate import Evaluation, evaluate, table, write_evaluation
from model.settings import EvalSettings

HEAD = Head(slope=5.0, bias=6.0)
CPU = torch.device("cpu")


class Batch(NamedTuple):
    frames: torch.Tensor
    audio: torch.Tensor
    clips: torch.Tensor
    times: torch.Tensor


class Tiny(torch.nn.Module):
    """Two small towers with batch normalisation, which in training mode would see the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Sequential(torch.nn.Linear(48, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 8))
        self.audio = torch.nn.Sequential(torch.nn.Linear(100, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 8))

    def embed_images(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.image(frames.flatten(1).float() / 255), dim=1)

    def embed_audio(self, audio: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.audio(audio.float() / 32768), dim=1)


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


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    embeddings, clips = fabricated()
    return evaluate(embeddings, clips, HEAD, EvalSettings(tsne_classes=3, bootstrap=100), {"step": 70})


def test_embeddings_do_not_depend_on_the_batch_size():
    torch.manual_seed(0)
    model = Tiny().train()
    one, all_at_once = embed(model, views(1), CPU), embed(model, views(23), CPU)
    assert one.image.dtype == one.audio.dtype == np.float32
    assert one.clips.tolist() == all_at_once.clips.tolist() == [index // 5 for index in range(23)]
    assert one.times.tolist() == all_at_once.times.tolist()
    np.testing.assert_allclose(one.image, all_at_once.image, atol=1e-6)
    np.testing.assert_allclose(one.audio, all_at_once.audio, atol=1e-6)
    assert model.training


def test_nothing_to_embed_is_an_error():
    with pytest.raises(EvaluationError, match="no view"):
        embed(Tiny(), [], CPU)


def test_nan_embeddings_are_an_error():
    model = Tiny()
    torch.nn.init.constant_(model.audio[0].weight, torch.nan)
    with pytest.raises(EvaluationError, match="23 of 23 audio embeddings"):
        embed(model, views(8), CPU)


def test_the_middle_view_stands_for_a_clip():
    embeddings, _ = fabricated(clips=4, per_clip=4)
    shuffled = embeddings.rows(np.random.default_rng(0).permutation(16))
    middle = shuffled.middle_views()
    assert middle.clips.tolist() == [0, 1, 2, 3]
    assert middle.times.tolist() == [1.5] * 4
    np.testing.assert_array_equal(middle.image, embeddings.image[1::4])


def test_metrics_say_what_was_measured(evaluation: Evaluation):
    metrics = evaluation.metrics
    keys = "\n".join(f"clip{index:03d}" for index in range(40))
    assert metrics["gallery_sha256"] == hashlib.sha256(keys.encode()).hexdigest()
    assert (metrics["step"], metrics["clips"], metrics["videos"], metrics["views"]) == (70, 40, 20, 120)
    assert (metrics["classes"], metrics["labelled_clips"], metrics["split"]) == (4, 40, "test")
    assert metrics["avc"]["pairs"] == 240
    assert metrics["retrieval"]["image_to_audio"]["recall_at_1"] > 0.9
    assert metrics["retrieval"]["image_to_audio"]["label_queries"] == 40
    assert "bootstrap over source videos" in metrics["protocol"]["avc"]


def test_an_evaluation_is_a_function_of_its_inputs(evaluation: Evaluation):
    embeddings, clips = fabricated()
    again = evaluate(embeddings, clips, HEAD, EvalSettings(tsne_classes=3, bootstrap=100), {"step": 70})
    assert again.metrics == evaluation.metrics
    assert again.examples == evaluation.examples
    assert again.wanted == evaluation.wanted


def test_results_do_not_depend_on_the_order_of_views(evaluation: Evaluation):
    embeddings, clips = fabricated()
    shuffled = embeddings.rows(np.random.default_rng(1).permutation(len(embeddings)))
    again = evaluate(shuffled, clips, HEAD, EvalSettings(tsne_classes=3, bootstrap=100), {"step": 70})
    assert again.metrics["retrieval"] == evaluation.metrics["retrieval"]
    assert again.examples == evaluation.examples


def test_examples_follow_the_protocol(evaluation: Evaluation):
    _, clips = fabricated()
    assert len(evaluation.wanted) == len(set(evaluation.wanted)) <= 96
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
    assert len(projection["clips"]) == len(projection["image"]) == len(projection["audio"]) == 30
    for clip, label in zip(projection["clips"], projection["labels"], strict=True):
        assert projection["classes"][label] == "abcd"[clip % 4]
    assert np.abs(projection["image"]).max() == 1.0


def test_without_labels_there_is_no_projection_and_no_label_metric():
    embeddings, clips = fabricated()
    bare = [Clip(clip.key, clip.video, "") for clip in clips]
    result = evaluate(embeddings, bare, HEAD, EvalSettings(bootstrap=20), {})
    assert result.projection is None
    assert "recall_at_1" not in result.metrics["retrieval"]["image_to_audio"]
    assert result.examples["directions"][0]["rows"][0]["results"][0]["same_label"] is None
    assert "median rank" in table(result.metrics)


def test_writing_replaces_the_media_of_an_earlier_evaluation(evaluation: Evaluation, tmp_path: Path):
    media = dict.fromkeys(evaluation.wanted[1:], (b"picture", b"sound"))
    (tmp_path / "eval" / "media").mkdir(parents=True)
    (tmp_path / "eval" / "media" / "0.jpg").write_bytes(b"old")
    path = write_evaluation(evaluation, tmp_path, media)
    assert json.loads(path.read_text()) == evaluation.metrics
    assert json.loads((path.parent / "examples.json").read_text()) == evaluation.examples
    assert json.loads((path.parent / "projection.json").read_text()) == evaluation.projection
    assert not (path.parent / "media" / "0.jpg").exists()
    assert (path.parent / "media" / "1.wav").read_bytes() == b"sound"
    assert not list(tmp_path.rglob("*.partial"))


def test_the_table_prints_chance_beside_every_value(evaluation: Evaluation):
    text = table(evaluation.metrics)
    assert "chance 50.0 %" in text
    assert "40 clips of 20 videos" in text
    assert "240 pairs" in text
    rows = {line[:24].strip(): line[24:].split() for line in text.splitlines()}
    assert rows["instance recall at 1"][0] == rows["instance recall at 1"][-1] == "-"
    assert "(2.5)" in rows["instance recall at 1"]
    assert "(20)" in rows["median rank"]
    assert len(rows["ndcg at 30"]) == 8
    assert rows["label queries / gallery"][:3] == ["40", "/", "40"]


def test_views_of_unknown_clips_are_refused():
    embeddings, clips = fabricated()
    with pytest.raises(EvaluationError, match="39 clip records"):
        evaluate(embeddings, clips[:-1], HEAD, EvalSettings(), {})
