"""A run remembers how it was made."""

import json
import platform
import sys
from pathlib import Path

import pytest
import torch

import avcorr
from avcorr.configs.load import load_config
from avcorr.workflows.run_folder import session, trained_videos
from tests.conftest import SMALL, MakeVideo
from tests.support.checkpoints import forge
from tests.support.commands import TINY


def sessions(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "sessions.jsonl").read_text().splitlines()]


def test_each_call_leaves_a_line(tmp_path: Path, shards: Path) -> None:
    run = tmp_path / "run"
    assert avcorr.train(shards, run, settings=[*TINY, "train.steps=2"]).step == 2
    assert avcorr.train(shards, run, settings={"train.steps": 4}, resume=True).step == 4
    first, second = sessions(run)
    assert [(line["from_step"], line["to_step"]) for line in (first, second)] == [(0, 2), (2, 4)]
    assert second["arguments"] == {
        "shards": str(shards), "config": None, "settings": {"train.steps": 4}, "resume": True
    }  # fmt: skip
    assert first["command"] == sys.argv and first["host"] == platform.node() and first["processes"] == 1
    versions = first["versions"]
    assert isinstance(versions, dict) and versions["avcorr"] == avcorr.__version__
    assert versions["torch"] == torch.__version__.partition("+")[0] or versions["torch"] == torch.__version__
    assert str(first["began"]) <= str(first["ended"]) <= str(second["began"])


def test_the_checkpoint_itself_knows_its_sequence(tmp_path: Path, shards: Path) -> None:
    run = tmp_path / "run"
    path = avcorr.train(shards, run, settings=[*TINY, "train.steps=1"]).checkpoint
    assert not (run / "pairs.json").exists()
    forge(path, lambda content: content["facts"]["sequence"].update(fingerprint=7))
    with pytest.raises(avcorr.Error, match="of another sequence of pairs: its fingerprint is not that of this loader"):
        avcorr.train(shards, run, settings={"train.steps": 2}, resume=True)
    forge(path, lambda content: content["facts"].pop("sequence"))
    with pytest.raises(avcorr.Error, match="step 1 does not say which pairs it has seen; train in a new run folder"):
        avcorr.train(shards, run, settings={"train.steps": 2}, resume=True)


def test_a_split_of_silence_is_warned_of(
    tmp_path: Path, shards: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        make_video(tmp_path / "videos" / "train" / f"{name}.mp4", extra=("-af", "volume=0"))
    avcorr.shard(tmp_path / "videos", tmp_path / "silent", settings={"shard.short_side": 48})
    for root, warned in ((tmp_path / "silent", True), (shards, False)):
        caplog.clear()
        settings = [*TINY, "train.steps=1", "train.batch_size=4", "shard.short_side=48"]
        avcorr.train(root, tmp_path / f"run{warned}", settings=settings)
        found = [line for line in caplog.messages if "100% are silent, as their flags say" in line]
        assert len(found) == warned


def test_a_killed_session_has_its_line_without_an_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with session(run, {"from_step": 0}):
        (line,) = sessions(run)
        assert line["from_step"] == 0 and line["ended"] is None and line["to_step"] is None


@pytest.mark.parametrize("text", ["[" * 9999, '{"a": 1}', '["a", 3]', "NaN", '["\\ud800"]', ""])
def test_a_forged_list_of_videos_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "videos.json").write_text(text)
    with pytest.raises(
        avcorr.Error, match=r"videos.json cannot be read, so clips that were trained on cannot be told: "
    ):
        trained_videos(tmp_path)


def test_a_record_of_sessions_that_is_no_file_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "sessions.jsonl").symlink_to("/dev/zero")
    with session(tmp_path, {"from_step": 0}):
        pass
    assert len(sessions(tmp_path)) == 1 and "sessions.jsonl cannot be read (is no regular file)" in caplog.text


def test_a_password_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["avcorr", "--shards=https://ann:se%20cret@host/a", "https://ann:secret@host/b@c"])
    with session(tmp_path, {"arguments": {"settings": ["train.wandb=x@y"]}}):
        pass
    (line,) = sessions(tmp_path)
    assert line["command"] == ["avcorr", "--shards=https://host/a", "https://host/b@c"]
    assert line["arguments"] == {"settings": ["train.wandb=x@y"]}


def test_a_failure_ends_its_session(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), session(tmp_path, {}):
        raise RuntimeError("out of memory")
    (line,) = sessions(tmp_path)
    assert line["ended"] is not None and line["to_step"] is None


def test_the_configuration_has_the_datasets_own_settings(tmp_path: Path, shards: Path) -> None:
    run = tmp_path / "run"
    avcorr.train(shards, run, settings=[*TINY, "train.steps=1", "shard.clip_seconds=7", "shard.name=other"])
    assert load_config(run / "config.yaml").shard == SMALL


def test_an_earlier_training_is_not_written_over(tmp_path: Path, shards: Path, small_run: Path) -> None:
    with pytest.raises(avcorr.Error, match="go on with --resume or give another --run"):
        avcorr.train(shards, small_run, settings=TINY)
