"""Checkpoints: round trip, pruning, damage, another configuration."""

import logging
import os
import resource
import struct
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED

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
from avcorr.model.settings import ModelSettings, TrainSettings
from tests.support.checkpoints import forge, repack, run_config
from tests.support.mounts import small_files

SETTINGS = ModelSettings(embedding_size=8, width=8)


def checkpoint(step: int) -> Checkpoint:
    model = build_model(SETTINGS, seed=step)
    return Checkpoint(step, model.state_dict(), {"state": {}, "param_groups": []}, run_config(SETTINGS))


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


def test_a_disk_that_takes_no_more_is_told_as_such(tmp_path: Path) -> None:
    """And not by torch's "unexpected pos"; the earlier checkpoint stays."""
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    with pytest.raises(OSError, match="File too large") as told, small_files(4096):
        save_checkpoint(tmp_path, checkpoint(2), keep=3)
    assert told.value.filename == str(tmp_path / "checkpoints" / "step-00000002.pt")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001.pt"]


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


@pytest.mark.parametrize(
    "forged",
    ['{"file": "step-00000001.pt", "pair_loss": NaN}', "[" * 9999, '{"pair_loss": 0.1}', "[]", "", "/dev/zero"],
)
def test_a_forged_best_is_passed_over_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, forged: str
) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, checkpoint(step)._replace(facts={"pair_loss": 0.1 * step}), keep=3)
    best = tmp_path / "checkpoints" / "best.json"
    best.unlink()
    if forged.startswith("/"):
        best.symlink_to(forged)
    else:
        best.write_text(forged)
    assert best_checkpoint(tmp_path).step == 2 and "best.json, which is damaged" in caplog.text
    save_checkpoint(tmp_path, checkpoint(3)._replace(facts={"pair_loss": 0.5}), keep=3)
    assert best_checkpoint(tmp_path).step == 3


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


WEIGHT = "image_tower.conv1.weight"
TWICE: list[Any] = [[]]
for _ in range(40):
    TWICE = [TWICE, TWICE]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("step", None, "step is not there"),
        ("step", "six", "step is no count of steps"),
        ("step", -3, "step is no count of steps"),
        ("step", 10**30, "step is no count of steps"),
        ("step", True, "step is no count of steps"),
        ("model", None, "model is not there"),
        ("model", [1, 2], "model is no mapping"),
        (f"model.{WEIGHT}", 3, f"model.{WEIGHT} is no tensor"),
        (f"model.{WEIGHT}", "text", f"model.{WEIGHT} is no tensor"),
        (f"model.{WEIGHT}", torch.zeros(8, 3, 7, 7).to_sparse(), "is damaged"),
        (f"model.{WEIGHT}", torch.zeros(8, 3, 7, 7, device="meta"), "is damaged"),
        (f"model.{WEIGHT}", torch.zeros(8, 3, 7, 7, dtype=torch.complex64), "is no dense tensor of real numbers"),
        (f"model.{WEIGHT}", torch.zeros(1).expand(10**6, 10**6), "is no dense tensor of real numbers"),
        ("optimizer", [], "optimizer is no mapping"),
        ("optimizer", {}, "optimizer has no state or no param_groups"),
        ("optimizer.state", {0: 3}, "optimizer.state.0 is no state of a weight"),
        ("optimizer.state", {0: {"step": "x"}}, "optimizer.state.0.step is no tensor"),
        ("optimizer.param_groups", [{3: 4}], "param_groups.0 is no text, number, list or mapping"),
        ("config", None, "config is not there"),
        ("config", 3, "config is no mapping"),
        ("config", {}, "config.shard is not there"),
        ("config.pairs", None, "config.pairs is not there"),
        ("config.pairs", {"frame_size": "x"}, "config.pairs.frame_size: input should be a valid integer"),
        ("config.pairs", {"frame_size": 10**9}, "config.pairs.frame_size: input should be less than or equal to 1024"),
        ("config.train", {"extra": float("nan")}, "config.train.extra is no text, number, list or mapping"),
        ("config.model", TWICE, "holds too many values"),
        ("facts", [], "facts is no mapping"),
        ("facts", {"pair_loss": "low"}, "facts.pair_loss is no number"),
        ("facts", {"a": bytearray(9)}, "bytearray, which is no tensor"),
    ],
)
def test_a_forged_checkpoint_is_told_by_its_entry_and_the_one_before_it_used(
    tmp_path: Path, field: str, value: Any, words: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        where, _, name = field.partition(".")
        place, key = (content[where], name) if name else (content, where)
        if value is None:
            del place[key]
        else:
            place[key] = value

    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    path = save_checkpoint(tmp_path, checkpoint(2), keep=3)
    forge(path, change)
    with pytest.raises(
        CheckpointError, match="step-00000002.pt is damaged .*; delete it and use an earlier one"
    ) as told:
        load_checkpoint(path)
    assert words in str(told.value) and len(str(told.value)) < 600
    assert latest_checkpoint(tmp_path).step == 1


@pytest.mark.parametrize("forged", ["deflated", "twice", "long", "pipe"])
def test_a_forged_archive_is_refused_before_it_is_unpacked(tmp_path: Path, forged: str) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), keep=3)
    if forged == "deflated":
        repack(path, lambda name, data: [(name, bytes(1 << 24) if name.endswith("data/0") else data)], ZIP_DEFLATED)
    elif forged == "twice":
        with pytest.warns(UserWarning, match="Duplicate name"):
            repack(path, lambda name, data: [(name, data)] * (1 + name.endswith("data.pkl")), ZIP_STORED)
    elif forged == "long":
        size = b"M" + struct.pack("<H", 10 * 3 * 49)
        repack(path, lambda name, data: [(name, data.replace(b"M\x98\x04t", size + b"t"))], ZIP_STORED)
    else:
        path.unlink()
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match="no checkpoint at" if forged == "pipe" else "is damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("width", 800_000, "does not know: model.width"),
        ("width", 4096, "is of another network than this version builds"),
        ("embedding_size", 10**9, "does not know: model.embedding_size"),
        ("embedding_size", 65_536, "is of another network than this version builds"),
        ("spectrogram", {"window": 10**9}, "does not know: model.spectrogram.window"),
        ("spectrogram", {"window": 1024, "mel_bins": 10**8}, "does not know: model.spectrogram.mel_bins"),
    ],
)
def test_no_memory_is_asked_for_before_the_shapes_fit(tmp_path: Path, name: str, value: Any, words: str) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1), keep=3)
    forge(path, lambda content: content["config"]["model"].update({name: value}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=words):
        load_model(tmp_path, torch.device("cpu"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


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
    config = run_config(SETTINGS.model_copy(update={"width": 16}), TrainSettings(steps=12))
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
