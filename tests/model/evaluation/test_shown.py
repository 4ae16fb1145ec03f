"""What the report shows beside figures: mistakes, heat maps, and a map of the embeddings."""

import builtins
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from avcorr.model.correspondence import build_model
from avcorr.model.embedding.embed import Embeddings, embed
from avcorr.model.errors import EvaluationError
from avcorr.model.evaluation import projection
from avcorr.model.evaluation.avc import ScoredPairs
from avcorr.model.evaluation.evaluate import Plan, evaluate
from avcorr.model.evaluation.examples import HEAT_MAPS, MISTAKES, Shown, mistakes
from avcorr.model.evaluation.pairing import Pairs
from avcorr.model.evaluation.scorer import DistanceScorer, scorer_of
from avcorr.model.settings import EvalSettings, ModelSettings, SpectrogramSettings
from avcorr.pipeline.correspondence.negatives import derange
from tests.model.evaluation.test_run import Batch


@dataclass(frozen=True)
class Clip:
    key: str
    video: str
    label: str


def clips_of(labels: str) -> list[Clip]:
    return [Clip(f"clip{number}", f"video{number}", label) for number, label in enumerate(labels)]


def views_of(count: int) -> Embeddings:
    nothing = np.zeros((count, 2), np.float32)
    return Embeddings(nothing, nothing, np.arange(count), np.arange(count) + 0.5)


def test_the_surest_mistakes_by_hand() -> None:
    """p = sigmoid(6 - 5 distance): at 1.2 it is one half, at 0.2 sigmoid(5), at 1.8 sigmoid(-3)."""
    clips = clips_of("aabb")
    pairs = Pairs(np.arange(4), np.array([1, 2, 3, 0]), np.arange(4), np.zeros(4, int))
    scored = ScoredPairs(pairs, np.array([0.1, 1.3, 1.8, 1.2]), np.array([0.2, 1.9, 0.9, 1.2]))
    shown = Shown(clips)
    found = mistakes(scored, views_of(4), clips, DistanceScorer(5.0, 6.0), shown)
    alarms, apart, misses = (found[name] for name in ("false_alarms", "of_two_labels", "misses"))
    assert (apart["count"], apart["pairs"]) == (0, 2)  # of the pairs 1 and 3, a with b, none is called a match
    assert (alarms["count"], alarms["pairs"]) == (2, 4) and misses["count"] == 3  # p = 0.5 is called no match
    assert [(row["frame"]["key"], row["sound"]["key"]) for row in alarms["rows"]] == [
        ("clip0", "clip1"),
        ("clip2", "clip3"),
    ]
    assert [row["probability"] for row in alarms["rows"]] == pytest.approx([0.993307, 0.817574], abs=1e-6)
    assert [row["frame"]["key"] for row in misses["rows"]] == ["clip2", "clip1", "clip3"]
    assert misses["rows"][0]["probability"] == pytest.approx(1 / (1 + np.exp(3)), abs=1e-6)
    assert all(row["frame"] == row["sound"] for row in misses["rows"])
    assert alarms["rows"][0]["same_label"] is True and shown.views[alarms["rows"][0]["sound"]["media"]] == (1, 1.5)


def test_a_video_is_shown_once_and_labels_may_be_unknown() -> None:
    clips = [Clip(f"clip{number}", f"video{number // 2}", "") for number in range(2 * MISTAKES + 4)]
    views = np.arange(len(clips))
    scored = ScoredPairs(Pairs(views, views[::-1], views, views * 0), np.full(len(clips), 0.1), views / 100)
    found = mistakes(scored, views_of(len(clips)), clips, DistanceScorer(5.0, 6.0), Shown(clips))
    assert [row["frame"]["key"] for row in found["false_alarms"]["rows"]] == [f"clip{2 * n}" for n in range(MISTAKES)]
    assert found["false_alarms"]["rows"][0]["same_label"] is None
    assert found["of_two_labels"]["pairs"] == 0
    assert found["misses"] == {"count": 0, "pairs": len(clips), "rows": []}


def test_heat_maps_are_of_the_model_that_decides() -> None:
    spectrogram = SpectrogramSettings(sample_rate=8000, window=256, hop=64, mel_bins=32)
    settings = {"architecture": "avenet", "localise": True, "width": 8, "spectrogram": spectrogram}
    model = build_model(ModelSettings.model_validate(settings), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (12, 64, 64, 3), generator=generator).to(torch.uint8)
    audio = torch.randint(-9000, 9000, (12, 2000), generator=generator).to(torch.int16)
    device = torch.device("cpu")
    views = [Batch(frames, audio, torch.arange(12), torch.zeros(12, dtype=torch.float64))]
    every, plan = np.arange(12)[:, None], EvalSettings(bootstrap=10)
    clips = clips_of("abababababab")
    result = evaluate(
        embed(model, views, device), clips, Plan(every, every), scorer_of(model, device), plan, {}, derange=derange
    )
    assert result.heat_maps is not None and len(result.heat_maps) == len(result.located) == HEAT_MAPS
    for row, (clip, _) in zip(result.heat_maps, result.located, strict=True):
        other = row["other"]["sound"]["clip"]
        assert row["frame"]["clip"] == clip != other
        for told, sound in ((row["own"], clip), (row["other"], other)):
            with torch.no_grad():
                image, heard = model.image_features(frames[clip, None]), model.audio_features(audio[sound, None])
                expected = model.location_logits(image, heard)[0].sigmoid().numpy()
            np.testing.assert_allclose(told["places"], expected, atol=2e-3)  # features are kept in half precision
            assert told["probability"] == pytest.approx(expected.max(), abs=2e-3)
    plain = build_model(ModelSettings(width=8, spectrogram=spectrogram), seed=0)
    judged = evaluate(
        embed(plain, views, device), clips, Plan(every, every), scorer_of(plain, device), plan, {}, derange=derange
    )
    assert judged.heat_maps is None and judged.located == []


def blobs(classes: int = 3, each: int = 20) -> tuple[Embeddings, np.ndarray, list[Clip]]:
    generator = np.random.default_rng(0)
    kinds = np.repeat(np.arange(classes), each)
    vectors = np.eye(16)[kinds] + 0.05 * generator.normal(size=(len(kinds), 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = np.array([f"class {kind}" for kind in kinds])
    clips = [Clip(f"clip{number}", f"video{number}", label) for number, label in enumerate(labels.tolist())]
    return Embeddings(vectors, vectors, np.arange(len(kinds)), np.zeros(len(kinds))), labels, clips


@pytest.mark.parametrize("method", ["tsne", "umap"])
@pytest.mark.filterwarnings("ignore:Tensorflow not installed:ImportWarning")
def test_a_map_keeps_classes_together_and_is_a_function_of_the_seed(method: projection.Method) -> None:
    chosen, labels, clips = blobs()
    found, again = (projection.project(chosen, labels, 3, method, 4, Shown(clips)) for _ in range(2))
    assert found is not None and found == again
    assert (found["method"], found["settings"].split(",")[0].lower().replace("-", "")) == (method, method)
    points, kinds = np.array(found["audio"]), np.array(found["labels"])
    assert np.abs(points).max() == 1.0
    for kind in range(3):
        centre = points[kinds == kind].mean(axis=0)
        inside = np.linalg.norm(points[kinds == kind] - centre, axis=1).max()
        assert inside < np.linalg.norm(points[kinds != kind] - centre, axis=1).min()


def test_a_large_map_has_pictures_of_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "MOST_MEDIA", 10)
    chosen, labels, clips = blobs()
    shown = Shown(clips)
    found = projection.project(chosen, labels, 3, "tsne", 0, shown)
    assert found is not None and len(shown.views) == 10 and len(found["items"]) == 60
    pictured = [item["label"] for item in found["items"] if "media" in item]
    assert sorted(map(pictured.count, set(pictured))) == [3, 3, 4]


def test_umap_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: object) -> object:
        if name == "umap":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "umap", raising=False)
    monkeypatch.setattr(builtins, "__import__", lacking)
    chosen, labels, clips = blobs()
    with pytest.raises(EvaluationError, match=r"pip install 'avcorr\[umap\]'"):
        projection.project(chosen, labels, 3, "umap", 0, Shown(clips))
