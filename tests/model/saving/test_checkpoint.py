"""Checkpoints: round trip, pruning, damage, another configuration."""

import logging
from pathlib import Path

import pytest
import torch

from avcorr.model.correspondence import build_model
from avcorr.model.errors import CheckpointError
from avcorr.model.saving.checkpoint import (
    Checkpoint,
    best_checkpoint,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_model,
    require_same_config,
    save_checkpoint,
    take_over,
)
from avcorr.model.settings import ModelSettings

SETTINGS = ModelSettings(embedding_size=8, width=8)


def checkpoint(step: int) -> Checkpoint:
    model = build_model(SETTINGS, seed=step)
    config = {"model": SETTINGS.model_dump(mode="json"), "train": {"seed": 0, "steps": 9}}
    return Checkpoint(step, model.state_dict(), {"state": {}, "param_groups": []}, config)


def flip_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    saved = checkpoint(1234)
    path = save_checkpoint(tmp_path, saved, keep=3)
    assert path == tmp_path / "checkpoints" / "step-00001234.pt"
    loaded = load_checkpoint(path)
    assert (loaded.step, loaded.config, loaded.optimizer) == (1234, saved.config, saved.optimizer)
    assert loaded.model.keys() == saved.model.keys()
    assert all(torch.equal(loaded.model[name], saved.model[name]) for name in saved.model)


def test_the_newest_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    for step in (9, 10, 100, 20):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000020.pt", "step-00000100.pt"]
    assert [path.name for path in list_checkpoints(tmp_path)] == names[::-1]


def test_the_best_is_kept_beside_the_newest(tmp_path: Path) -> None:
    losses = {1: 0.6, 2: 0.3, 3: 0.4, 4: 0.5, 5: None}
    for step, loss in losses.items():
        facts = {} if loss is None else {"pair_loss": loss}
        save_checkpoint(tmp_path, checkpoint(step)._replace(facts=facts), keep=2)
    assert [load_checkpoint(path).step for path in list_checkpoints(tmp_path)] == [5, 4, 2]
    assert (best_checkpoint(tmp_path).step, latest_checkpoint(tmp_path).step) == (2, 5)
    assert load_model(tmp_path, torch.device("cpu"), best=True)[2] == 2
    save_checkpoint(tmp_path, checkpoint(6)._replace(facts={"pair_loss": 0.2}), keep=2)
    assert [load_checkpoint(path).step for path in list_checkpoints(tmp_path)] == [6, 5]
    assert best_checkpoint(tmp_path).step == 6


@pytest.mark.parametrize("damage", ["absent", "text", "checkpoint", "gone"])
def test_without_a_readable_best_the_newest_is_taken(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, checkpoint(1)._replace(facts={"pair_loss": 0.1}), keep=2)
    save_checkpoint(tmp_path, checkpoint(2)._replace(facts={"pair_loss": 0.2}), keep=2)
    named, best = tmp_path / "checkpoints" / "best.json", tmp_path / "checkpoints" / "step-00000001.pt"
    if damage == "absent":
        named.unlink()
    elif damage == "text":
        named.write_text('{"file": "../evil.pt", "pair_loss": 0.1}')
    elif damage == "checkpoint":
        flip_byte(best, best.stat().st_size // 2)
    else:
        best.unlink()
    assert best_checkpoint(tmp_path).step == 2


def test_a_checkpoint_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"format": 1, **{key: value for key, value in checkpoint(3)._asdict().items() if key != "facts"}}, path)
    assert load_checkpoint(path)[::4] == (3, {})


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, checkpoint(5), keep=3)
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(tmp_path, checkpoint(5)._replace(config={"model": lambda: None}), keep=3)
    assert path.read_bytes() == before
    assert load_checkpoint(path).step == 5
    assert latest_checkpoint(tmp_path).step == 5


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_flipped_byte_is_found_and_the_file_before_it_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, part: float
) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    newest = save_checkpoint(tmp_path, checkpoint(2), keep=3)
    flip_byte(newest, int(newest.stat().st_size * part))
    with pytest.raises(CheckpointError, match="step-00000002.pt is damaged"):
        load_checkpoint(newest)
    with caplog.at_level(logging.WARNING):
        assert latest_checkpoint(tmp_path).step == 1
    assert "step-00000002.pt is damaged" in caplog.text


def test_a_cut_file_is_damaged_and_if_it_is_the_only_one_there_is_none(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), keep=3)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="1 checkpoints, none of them readable"):
        latest_checkpoint(tmp_path)


def test_missing_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at .*nothing.pt"):
        load_checkpoint(tmp_path / "nothing.pt")
    with pytest.raises(CheckpointError, match="holds no checkpoint; train this run first"):
        latest_checkpoint(tmp_path)


def test_a_network_of_other_code_is_refused_by_what_differs(tmp_path: Path) -> None:
    saved = checkpoint(7)
    other = build_model(ModelSettings(embedding_size=16, width=8), seed=0)
    before = other.audio_tower.fc.weight.clone()
    shapes = r"audio_tower.fc.bias \(checkpoint: \(8,\), now: \(16,\)\); .* and 1 more; use the version that wrote it"
    with pytest.raises(CheckpointError, match=f"step 7 is of another network than this version builds: {shapes}"):
        take_over(other, saved)
    assert torch.equal(other.audio_tower.fc.weight, before)
    renamed = {("head.old" if name == "head.slope" else name): value for name, value in saved.model.items()}
    save_checkpoint(tmp_path, saved._replace(model=renamed), keep=3)
    with pytest.raises(CheckpointError, match=r"head.old \(checkpoint: \(\), now: absent\); head.slope"):
        load_model(tmp_path, torch.device("cpu"))
    later = {**saved.config, "model": {**saved.config["model"], "depth": 34}}
    save_checkpoint(tmp_path, saved._replace(step=8, config=later), keep=3)
    with pytest.raises(CheckpointError, match="step 8 has settings that this version does not know: model.depth; use"):
        load_model(tmp_path, torch.device("cpu"))


def test_what_a_kill_left_half_written_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    (tmp_path / "checkpoints" / ".step-00000002.pt.0a1b2c3d.tmp").write_bytes(b"half")
    assert latest_checkpoint(tmp_path).step == 1
    save_checkpoint(tmp_path, checkpoint(3), keep=3)
    assert not list((tmp_path / "checkpoints").glob(".*.tmp"))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"format": 1, "step": Path("/")}, path)  # any class but tensors and plain values
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_foreign_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    torch.save({"format": 99}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of format 1: found 99"):
        load_checkpoint(path)


def test_differing_fields_are_named_unless_free() -> None:
    saved = checkpoint(7)
    config = {"model": {**saved.config["model"], "width": 16}, "train": {"seed": 0, "steps": 12}}
    with pytest.raises(CheckpointError, match=r"model.width \(checkpoint: 8, now: 16\); train.steps"):
        require_same_config(saved, config)
    with pytest.raises(CheckpointError, match=r"configuration: model.width \(checkpoint: 8, now: 16\); restore"):
        require_same_config(saved, config, free=("train.steps",))
    require_same_config(saved, config, free=("train", "model.width"))


def test_a_model_is_restored_for_evaluation(tmp_path: Path) -> None:
    saved = checkpoint(3)
    save_checkpoint(tmp_path, saved, keep=3)
    model, config, step = load_model(tmp_path, torch.device("cpu"))
    assert (config, step, model.training) == (saved.config, 3, False)
    assert torch.equal(model.audio_tower.fc.weight, saved.model["audio_tower.fc.weight"])
