"""The commands, from videos to a report, in one process and with their exit codes."""

import json
import re
import shutil
from pathlib import Path

import pytest

from avcorr.commands.main import main
from avcorr.model.evaluation.evaluation_folder import find_evaluation
from avcorr.model.saving.checkpoint import latest_checkpoint, save_checkpoint
from tests.support.commands import TINY, command

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert command("train", "--shards", shards, "--run", folder, settings=TINY) == 0
    return folder


def test_videos_become_verified_shards(tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["shard.short_side=48", "shard.clips_per_shard=4"]
    assert command("shard", "--source", videos, "--out", tmp_path / "s", "--workers", 2, settings=sizes) == 0
    assert "inputs 12 = packed 12 + failed 0" in capsys.readouterr().out
    assert command("verify", tmp_path / "s", "--full") == 0
    assert "all well: 3 shards, 12 clips (every byte)" in capsys.readouterr().out
    assert command("info", tmp_path / "s") == 0
    text = capsys.readouterr().out
    assert "12 clips" in text and "made with ffmpeg" in text and "split test: 4 clips of 4 videos" in text
    assert command("info", tmp_path / "s", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["clips"], facts["frames"], facts["packed"], facts["failed"]) == (12, 144, 12, 0)
    assert facts["hours"] == pytest.approx(12 * 3 / 3600)


def test_a_run_goes_on_with_the_shards_it_began_with_only(
    tmp_path: Path, videos: Path, shards: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(trained, run)
    sizes = ["shard.short_side=48", "shard.clips_per_shard=3"]
    assert command("shard", "--source", videos, "--out", other, settings=sizes) == 0
    again = ["train", "--run", run, "--resume", "--shards"]
    assert command(*again, shards, settings=[*TINY, "train.steps=6"]) == 0
    capsys.readouterr()
    assert command(*again, other, settings=[*TINY, "train.steps=6"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: the state is of another sequence of pairs: its fingerprint is not that")


def test_exit_codes_of_shard(tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "bad.mp4").write_bytes(b"nothing")
    assert command("shard", "--source", folder, "--out", tmp_path / "none") == 1
    captured = capsys.readouterr()
    assert "inputs 1 = packed 0 + failed 1" in captured.out and "not_media: 1" in captured.out
    assert captured.err.splitlines()[-1].startswith("error: nothing could be packed")
    (folder / "good.mp4").symlink_to(next(videos.glob("train/*.mp4")))
    assert command("shard", "--source", folder, "--out", tmp_path / "some") == 0
    assert command("shard", "--source", folder, "--out", tmp_path / "some", "--strict") == 1


def test_damage_fails_verify_with_a_list(tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    root = tmp_path / "root"
    shutil.copytree(shards, root)
    (root / "train" / "clips-train-000000.tar").unlink()
    assert command("verify", root) == 1
    captured = capsys.readouterr()
    assert "train/clips-train-000000.tar: missing_shard: " in captured.out
    assert captured.err.startswith(f"error: 1 problems in {root}; ") and len(captured.err.splitlines()) == 1


def test_a_run_leaves_checkpoints_metrics_and_its_configuration(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(isinstance(line["loss"], float) for line in lines)
    assert [path.name for path in sorted((trained / "checkpoints").iterdir())] == [
        "best.json",
        "step-00000003.pt",
        "step-00000006.pt",
    ]
    assert "batch_size: 8" in (trained / "config.yaml").read_text()


def test_training_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, shards: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert command("train", "--shards", shards, "--run", folder, settings=[*TINY, "train.steps=3"]) == 0
    assert command("train", "--shards", shards, "--run", folder) == 1  # --resume was forgotten
    assert f"error: {folder} holds checkpoints of an earlier training; go on with --resume" in capsys.readouterr().err
    assert command("train", "--shards", shards, "--run", folder, "--resume", settings=["train.steps=6"]) == 0
    whole, parts = ((path / "metrics.jsonl").read_text().splitlines() for path in (trained, folder))
    losses = [{entry["step"]: entry["loss"] for entry in map(json.loads, lines)} for lines in (whole, parts)]
    assert losses[0][6] == losses[1][6] and losses[0][4] == losses[1][4]


def test_another_recipe_cannot_go_on(trained: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["train.learning_rate=0.5", "train.steps=9"]
    assert command("train", "--shards", shards, "--run", trained, "--resume", settings=settings) == 1
    assert "train.learning_rate (checkpoint: 0.001, now: 0.5)" in capsys.readouterr().err


def test_a_checkpoint_of_a_later_version_is_refused_by_what_is_unknown(
    tmp_path: Path, trained: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    newest = latest_checkpoint(run)
    later = {**newest.config, "train": {**newest.config["train"], "momentum": 0.9}}
    save_checkpoint(run, newest._replace(step=7, config=later), keep=3)
    assert command("train", "--shards", shards, "--run", run, "--resume") == 1
    assert "error: the checkpoint of step 7: unknown key train.momentum" in capsys.readouterr().err


def test_sound_of_another_rate_is_refused(tmp_path: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [*TINY, "shard.sample_rate=48000", "model.spectrogram.sample_rate=48000"]
    assert command("train", "--shards", shards, "--run", tmp_path / "run", settings=settings) == 1
    assert "has 16000 Hz and model.spectrogram.sample_rate is 48000" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["vggsound", "l3net", "avenet", "strong"])
def test_every_recipe_trains_and_is_evaluated(
    tmp_path: Path, shards: Path, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each at a small size, with its own network, objective, schedule and decay."""
    small = [text for text in TINY if not text.startswith(("pairs.aligned", "train.objective", "model.spectrogram"))]
    small += ["model.spectrogram.mel_bins=32", "train.steps=2", "train.warmup_steps=0"]
    config = CONFIGS / f"{recipe}.yaml"
    folder = tmp_path / "run"
    assert command("train", "--shards", shards, "--run", folder, "--config", config, settings=small) == 0
    assert command("eval", "--run", folder, "--shards", shards) == 0
    assert command("report", "--run", folder) == 0
    assert "AVC accuracy" in capsys.readouterr().out


def test_evaluation_and_report(trained: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("eval", "--run", trained, "--shards", shards) == 0
    assert re.search(r"AVC accuracy +[\d.]+ %", capsys.readouterr().out)
    metrics = json.loads((find_evaluation(trained) / "metrics.json").read_text())
    low, high = metrics["avc"]["interval"]
    assert 0 <= low <= metrics["avc"]["accuracy"] <= high <= 1 and metrics["avc"]["pairs"] == 16
    assert set(metrics["retrieval"]) == {
        f"{one}_to_{other}" for one in ("image", "audio") for other in ("image", "audio")
    }
    assert command("report", "--run", trained) == 0
    assert (trained / "report.html").stat().st_size > 10_000


def test_a_model_is_exported_and_compared_on_clips(
    tmp_path: Path, trained: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime
    import torch

    from avcorr import model as product
    from avcorr.pipeline.galleries.gallery import Gallery

    words = ["export", "--run", trained, "--out", tmp_path / "m", "--onnx", tmp_path / "o", "--torch", tmp_path / "t"]
    assert command(*words, "--shards", shards) == 0
    text = capsys.readouterr().out
    assert "card of step 6" in text and len(re.findall(r"differs from the model by .* on 4 clips", text)) == 6
    assert "8 source videos" in (tmp_path / "m" / "README.md").read_text()
    views = next(iter(Gallery(shards, "test", views_per_clip=2, seed=1, frame_size=32, window_seconds=1).batches(5)))
    towers = product.load(tmp_path / "m", device="cpu")
    expected = towers.embed_images(views.frames), towers.embed_audio(views.audio)
    for name, key, value, vectors in zip(
        ("image", "audio"), ("frames", "audio"), (views.frames, views.audio), expected, strict=True
    ):
        session = onnxruntime.InferenceSession(tmp_path / "o" / f"{name}.onnx", providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(["embedding"], {key: value.numpy()})[0])
        torch.testing.assert_close(found, vectors, atol=1e-4, rtol=0)
        program = torch.export.load(tmp_path / "t" / f"{name}.pt2").module()
        torch.testing.assert_close(program(value), vectors, atol=1e-4, rtol=0)
    pair = onnxruntime.InferenceSession(tmp_path / "o" / "pair.onnx", providers=["CPUExecutionProvider"])
    found = pair.run(["probability"], {"frames": views.frames.numpy(), "audio": views.audio.numpy()})[0]
    torch.testing.assert_close(
        torch.from_numpy(found), towers.probability(views.frames, views.audio), atol=1e-4, rtol=0
    )


def test_clips_that_were_trained_on_are_refused(
    trained: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("eval", "--run", trained, "--shards", shards, settings=["eval.split=train"]) == 1
    assert "8 source videos of the split 'train'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verify", "/nowhere"], "holds no shards"),
        (
            ["shard", "--source", "s3://b/videos", "--out", "/tmp/x"],
            "s3://b/videos: videos are read from folders",
        ),
        (["shard", "--source", "/nowhere", "--out", "/tmp/x"], "neither a folder nor a video, an archive or a list"),
        (["eval", "--run", "/nowhere", "--shards", "/nowhere"], "is no run folder"),
        (["train", "--shards", "/nowhere", "--run", "/nowhere", "--set", "train.stepz=1"], "did you mean 'steps'"),
        (["report", "--run", "/nowhere"], "nothing to report"),
    ],
)
def test_a_known_error_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*words) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1 and error.startswith("error: ")


@pytest.mark.parametrize("words", [[], ["nonsense"], ["corpus", "--clips", "0", "--out", "x"], ["shard"]])
def test_wrong_usage_exits_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


def test_debug_shows_the_traceback() -> None:
    from avcorr.shards.errors import DatasetMismatchError

    with pytest.raises(DatasetMismatchError):
        command("verify", "/nowhere", "--debug")


def test_a_dataset_that_says_only_its_format_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    golden = CONFIGS.parent / "tests" / "golden" / "v1"
    assert command("info", golden) == 0
    assert "made with ffmpeg unknown, format 1" in capsys.readouterr().out


def test_one_shard_is_counted_as_one(one_shard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("verify", one_shard) == 0
    assert capsys.readouterr().out.startswith("all well: 1 shards, 4 clips")
    assert command("verify", one_shard, "--json") == 0
    assert '"shards": 1,' in capsys.readouterr().out
    assert command("shard", "--source", one_shard.parent / "videos", "--out", tmp_path / "out") == 0
    assert "\n1 shards, " in capsys.readouterr().out
