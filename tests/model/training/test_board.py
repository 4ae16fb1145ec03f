"""What a training shows on TensorBoard and, in its offline mode, on Weights & Biases."""

import json
import struct
import wave
from io import BytesIO
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avcorr.model.correspondence import build_model
from avcorr.model.errors import ModelError
from avcorr.model.saving.checkpoint import latest_checkpoint
from avcorr.model.settings import ModelSettings
from avcorr.model.training.samples import PAIRS, THUMBNAIL, look
from tests.model.networks.test_networks import KINDS, TINY
from tests.model.training.test_trainer import CPU, MODEL, assert_same_state, batch, batches, losses, settings, train


def events(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "audio": 0, "tensors": 0})
    found.Reload()
    return found


def test_pairs_are_shown_with_their_sound(tmp_path: Path) -> None:
    train(tmp_path, settings(steps=5, board_every=2))
    found = events(tmp_path)
    assert found.Tags()["images"] == [f"pairs/{number + 1}" for number in range(PAIRS)]
    assert found.Tags()["audio"] == [f"sounds/{number + 1}" for number in range(PAIRS)]
    assert [event.step for event in found.Audio("sounds/3")] == [2, 4]
    shown = found.Audio("sounds/3")[1]
    assert shown.sample_rate == MODEL.spectrogram.sample_rate
    with wave.open(BytesIO(shown.encoded_audio_string)) as sound:
        samples = torch.tensor(struct.unpack(f"<{sound.getnframes()}h", sound.readframes(sound.getnframes())))
    assert (samples - batch(3, matching_only=False).audio[2]).abs().max() <= 2  # the batch of the fourth step
    picture = found.Images("pairs/1")[0]
    assert (picture.height, picture.width) == (32, 64)
    table = found.Tensors("pairs/text_summary")[1].tensor_proto.string_val[0].decode()
    assert table.count("the frame's own") == table.count("another's") == PAIRS // 2


def test_the_map_holds_both_sides_of_the_newest_batch(tmp_path: Path) -> None:
    train(tmp_path, settings(steps=4, board_every=2))
    folder = tmp_path / "tensorboard" / "embeddings"
    config = (folder / "projector_config.pbtxt").read_text()
    assert config.count("tensor_path") == 1 and "step 4" in config
    (tensors,) = folder.glob("*/*/tensors.tsv")
    (names,) = folder.glob("*/*/metadata.tsv")
    vectors = torch.tensor([[float(cell) for cell in line.split("\t")] for line in tensors.read_text().splitlines()])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(32), atol=1e-5, rtol=0)
    header, *rows = names.read_text().splitlines()
    assert header == "side\tpair\tvideo"
    videos = batch(3, matching_only=False).videos.tolist()
    assert rows == [f"{side}\t{pair}\t{videos[pair]}" for side in ("image", "sound") for pair in range(16)]


@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_nothing(kind: str) -> None:
    model = build_model(ModelSettings.model_validate({**KINDS[kind], "width": 8, "spectrogram": TINY}), 0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pairs, draws = batch(0, matching_only=False), torch.get_rng_state()
    samples = look(model, pairs, CPU, torch.float32)
    assert model.training and torch.equal(draws, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    places = 3 if model.localises else 2
    assert samples.pictures.shape == (PAIRS, 32, 32 * places, 3)
    torch.testing.assert_close(samples.pictures[:, :, :32], pairs.frames[:PAIRS], atol=1, rtol=0)
    assert torch.equal(samples.sounds, pairs.audio[:PAIRS] / 32768)
    assert samples.thumbnails.shape == (32, 3, THUMBNAIL, THUMBNAIL)
    assert ((samples.thumbnails >= 0) & (samples.thumbnails <= 1)).all()


def test_a_run_that_shows_learns_as_one_that_does_not(tmp_path: Path) -> None:
    train(tmp_path / "shows", settings(board_every=1))
    train(tmp_path / "silent", settings(board_every=0))
    assert losses(tmp_path / "shows") == losses(tmp_path / "silent")
    assert_same_state(tmp_path / "shows", tmp_path / "silent")
    assert not (tmp_path / "silent" / "tensorboard" / "embeddings").exists()


def test_without_its_package_weights_and_biases_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ModelError, match=r"train.wandb is 'sights', but the package wandb is missing; install it"):
        train(tmp_path, settings(wandb="sights"))


@pytest.mark.filterwarnings("default")  # wandb's own
def test_weights_and_biases_gets_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    run = tmp_path / "run"
    train(run, settings(steps=3, wandb="sights", board_every=2))
    train(run, settings(steps=4, wandb="sights"), batches(3), start=latest_checkpoint(run))
    name = json.loads((run / "wandb.json").read_text())["id"]
    first, second = sorted((run / "wandb").glob(f"offline-run-*-{name}"))
    (log,) = first.glob("*.wandb")
    for text in (b"train/loss", b"train/pairs_per_second", b"pairs/sounds", b"learning_rate"):
        assert text in log.read_bytes(), text
    assert len(list((first / "files" / "media" / "audio").rglob("*.wav"))) == PAIRS
    assert len(list((first / "files" / "media" / "images").rglob("*.png"))) == PAIRS
    assert list(second.glob("*.wandb"))
