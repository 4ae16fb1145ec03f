"""Probes: classifiers on frozen embeddings of clips and of an ESC-50-like folder; and several runs side by side."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score, roc_auc_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

import run as program
from avcorr.model.errors import EvaluationError
from avcorr.model.evaluation.esc50 import Sound, cross_validate, read_folder
from avcorr.model.evaluation.evaluation_folder import find_evaluation
from avcorr.model.evaluation.probing import Items, classify, commonest, figures, held_out, with_both
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.sources.find import find_sources
from tests.conftest import SMALL, MakeVideo
from tests.support.esc50 import write_esc50

TINY = [
    "pairs.frame_size=32", "pairs.workers=0", "pairs.aligned=true", "pairs.block_clips=0", "model.width=8",
    "model.spectrogram.mel_bins=16", "train.objective=contrastive", "train.steps=1", "train.batch_size=8",
    "eval.bootstrap=20", "eval.views_per_clip=2", "train.device=cpu",
]  # fmt: skip


def command(*words: object, settings: list[str] | None = None) -> int:
    options = [word for setting in settings or [] for word in ("--set", setting)]
    return program.main([str(word) for word in words] + options)


def items(count: int, seed: int, noise: float = 0.5) -> Items:
    """Three classes in eight dimensions; images tell classes 0 and 1 apart, sounds 1 and 2."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    vectors = {}
    for name, merged in (("image", [0, 1, 1]), ("audio", [0, 0, 1])):
        vectors[name] = np.eye(8)[np.array(merged)[labels]] + noise * generator.normal(size=(count, 8))
        vectors[name] = (vectors[name] / np.linalg.norm(vectors[name], axis=1, keepdims=True)).astype(np.float32)
    return Items(with_both(vectors), np.array(["a", "b", "c"])[labels], np.arange(count) // 2)


def test_the_figures_agree_with_scikit_learn() -> None:
    train, test = items(300, 0), items(200, 1)
    scores = classify(train, test)["audio"]["linear"]
    classes = np.array(["a", "b", "c"])
    found = figures(scores, classes, test, commonest(train.labels, test.labels), 50, 0)
    truth = test.labels[:, None] == classes
    assert found["accuracy"] == np.mean(classes[scores.argmax(axis=1)] == test.labels)
    assert found["map"] == pytest.approx(average_precision_score(truth, scores, average="macro"))
    assert found["roc_auc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    for name, (low, high) in found["interval"].items():
        assert low <= found[name] <= high, name
    wide = np.random.default_rng(0).random((200, 9))
    many = np.array([f"class {number}" for number in range(9)])
    labels = many[np.random.default_rng(1).integers(0, 9, 200)]
    found = figures(wide, many, Items({}, labels, np.arange(200)), 0.1, 10, 0)
    assert found["top5_accuracy"] == pytest.approx(top_k_accuracy_score(labels, wide, k=5, labels=many))
    assert found["chance"]["top5_accuracy"] == pytest.approx(5 / 9)


def test_the_nearest_neighbours_are_those_of_scikit_learn() -> None:
    train, test = items(300, 0), items(100, 1)

    def votes(distances: np.ndarray) -> np.ndarray:
        return np.exp(-distances / 0.07)

    for space in ("image", "both"):
        reference = KNeighborsClassifier(20, weights=votes, metric="cosine").fit(train.vectors[space], train.labels)
        expected = reference.predict_proba(test.vectors[space])
        found = classify(train, test)[space]["knn"]
        np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), expected, atol=1e-5)


def test_both_sides_together_tell_more_than_either() -> None:
    result = held_out(items(300, 0, 0.1), items(200, 1, 0.1), 20, 0)
    for classifier in ("linear", "knn"):
        image, audio, both = (result["results"][space][classifier]["accuracy"] for space in ("image", "audio", "both"))
        assert image < 0.9 and audio < 0.9 and both > 0.97
    assert (result["train_items"], result["test_items"], result["classes"]) == (300, 200, 3)


def test_labels_that_mean_nothing_are_at_chance() -> None:
    generator = np.random.default_rng(0)
    train, test = items(600, 0, noise=100), items(600, 1, noise=100)  # no clusters, which could be right by luck
    shuffled = Items(train.vectors, generator.permutation(train.labels), train.owners)
    for row in held_out(shuffled, test, 50, 0)["results"]["both"].values():
        for name, chance in row["chance"].items():
            assert row[name] == pytest.approx(chance, abs=0.08), name


def test_a_label_that_was_not_learnt_is_never_right() -> None:
    train, test = items(300, 0, 0.1), items(100, 1, 0.1)
    strange = Items(test.vectors, np.where(test.labels == "c", "d", test.labels), test.owners)
    row = held_out(train, strange, 10, 0)["results"]["both"]["linear"]
    assert row["accuracy"] == pytest.approx(np.mean(test.labels != "c"), abs=0.05)
    with pytest.raises(EvaluationError, match="at least 2 labels"):
        held_out(Items(train.vectors, np.full(300, "a"), train.owners), test, 10, 0)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> tuple[Path, Path]:
    """Shards of two classes in two splits, and a run that was trained on them for a step."""
    folder = tmp_path_factory.mktemp("labelled")
    rows = ["path,label,split"]
    for number in range(12):
        path = make_video(folder / "videos" / f"{number}.mp4", tone=300 + 1500 * (number % 2))
        rows.append(f"{path},{'low' if number % 2 == 0 else 'high'},{'train' if number < 8 else 'test'}")
    (folder / "list.csv").write_text("\n".join(rows))
    assert pack(find_sources(folder / "list.csv"), folder / "shards", SMALL, workers=2).packed == 12
    assert command("train", "--shards", folder / "shards", "--run", folder / "run", settings=TINY) == 0
    return folder / "shards", folder / "run"


def test_probe_of_shards(labelled: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    shards, run = labelled
    for pooling in ("center", "mean10"):
        assert command("probe", "--run", run, "--shards", shards, "--pooling", pooling) == 0
        result = json.loads((run / "eval" / "probe-shards.json").read_text())
        assert result["protocol"] == f"shards/{pooling}"
        assert (result["train_items"], result["test_items"], result["classes"]) == (8, 4, 2)
        assert set(result["results"]) == {"image", "audio", "both"} and "ffmpeg" in result["decoders"]
    text = capsys.readouterr().out
    assert "8 items to learn from, 4 classified, 2 classes" in text and "gallery " in text
    assert command("probe", "--run", run, "--shards", shards, settings=["eval.split=train"]) == 1
    assert "8 source videos of the split 'train'" in capsys.readouterr().err


def test_probe_of_a_folder_like_esc50(
    labelled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_esc50(tmp_path / "esc")
    assert command("probe", "--run", labelled[1], "--esc50", folder) == 0
    result = json.loads((labelled[1] / "eval" / "probe-esc50.json").read_text())
    row = result["results"]["audio"]["linear"]
    assert result["protocol"] == "esc50/mean10" and result["classes"] == 2 and row["items"] == 20
    assert row["accuracy"] == 1.0 and row["folds"] == dict.fromkeys("12345", 1.0)  # even an untrained net hears this
    assert "20 classified, 2 classes" in capsys.readouterr().out
    short = folder / "audio" / "1-0-A-0.wav"
    soundfile.write(short, soundfile.read(short)[0][:4410], 44100)
    assert command("probe", "--run", labelled[1], "--esc50", folder) == 0
    assert (
        "1 of 20 sounds are shorter than the model's window of 1 s and were filled up with silence"
        in capsys.readouterr().err
    )
    soundfile.write(short, [], 44100)
    assert command("probe", "--run", labelled[1], "--esc50", folder) == 1
    assert "1-0-A-0.wav has no sample" in capsys.readouterr().err
    short.write_bytes(b"no sound")
    assert command("probe", "--run", labelled[1], "--esc50", folder) == 1
    assert "1-0-A-0.wav cannot be read as a sound" in capsys.readouterr().err
    (folder / "meta" / "esc50.csv").write_text("filename,category\nx.wav,hum\n")
    with pytest.raises(EvaluationError, match="columns filename, fold and category"):
        read_folder(folder)


def test_folds_are_judged_by_the_others() -> None:
    """A fold whose labels are turned is wrong throughout, while the others lose their majority nowhere."""
    sounds, vectors = [], []
    for number in range(50):
        kind, fold = number % 2, number // 10
        sounds.append(Sound(Path(f"{number}.wav"), str(fold), "ab"[kind ^ (fold == 4)], str(number)))
        vectors.append(np.eye(2, dtype=np.float32)[kind])
    row = cross_validate(sounds, np.array(vectors), 10, 0)["results"]["audio"]["linear"]
    assert row["folds"] == {"0": 1.0, "1": 1.0, "2": 1.0, "3": 1.0, "4": 0.0}
    assert row["accuracy"] == 0.8


def test_a_probe_of_nothing_or_of_both_is_wrong_usage(labelled: tuple[Path, Path]) -> None:
    for words in ([], ["--shards", labelled[0], "--esc50", labelled[0]]):
        with pytest.raises(SystemExit) as stop:
            command("probe", "--run", labelled[1], *words)
        assert stop.value.code == 2


def test_runs_side_by_side(labelled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards, run = labelled
    assert command("compare", tmp_path) == 1
    assert "avcorr eval --run" in capsys.readouterr().err
    assert command("eval", "--run", run, "--shards", shards) == 0
    other = tmp_path / "other"
    other.mkdir()
    for path in ("config.yaml", "videos.json"):
        (other / path).write_text((run / path).read_text())
    (other / "checkpoints").symlink_to(run / "checkpoints")
    capsys.readouterr()
    assert command("eval", "--run", other, "--shards", shards, "--protocol", "full/mean10") == 0
    text = capsys.readouterr().out
    assert command("compare", run, other) == 0
    table = capsys.readouterr().out
    for words in ("AVE-Net (2018)", "81.9 %", "The paper", "79.8 %", "not comparable", "different protocols"):
        assert words in table, words
    assert "run, step 1" in table and "other, step 1" in table and "full/mean10" in table
    assert "different galleries" not in table and "decoded by ffmpeg" in table
    assert text.split("AVC accuracy ")[1].split(" %")[0] in table
    assert command("compare", run, other, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    metrics = json.loads((find_evaluation(run) / "metrics.json").read_text())
    assert found["runs"][0]["accuracy"] == metrics["avc"]["accuracy"]
    assert found["paper"][2]["accuracy"] == "79.8 %" and len(found["notes"]) == 2
    metrics["sanity"].append({"name": "silence", "passed": False, "detail": "leaks"})
    (find_evaluation(run) / "metrics.json").write_text(json.dumps(metrics))
    assert command("compare", run) == 0
    assert "the check 'silence' failed" in capsys.readouterr().out
    (find_evaluation(run) / "metrics.json").write_text(json.dumps({**metrics, "format_version": 1}))
    assert command("compare", run) == 1
    assert "has format version 1, not 4; evaluate again" in capsys.readouterr().err
