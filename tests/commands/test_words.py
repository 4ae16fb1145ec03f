"""What the command line makes of its words."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import avcorr
from avcorr import __version__
from avcorr.commands import main as program
from avcorr.commands.parser import call, parse


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"avcorr {__version__}\n")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["shard", "--source", "a", "--out", "b", "--out", "c"], "--out"),
        (["train", "--shards", "a", "--shards", "a", "--run", "r"], "--shards"),
        (["train", "--shards", "a", "--run", "r", "--config", "x", "--config", "y"], "--config"),
        (["bench-data", "a", "--seconds", "10", "--seconds", "10"], "--seconds"),
        (["search", "q", "--index", "a", "--index", "b"], "--index"),
    ],
)
def test_an_option_of_one_value_is_not_given_twice(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(words)
    assert stop.value.code == 2
    assert f"error: {option} is given twice; it takes one value" in capsys.readouterr().err


def test_sources_given_one_by_one_are_joined() -> None:
    words = ["--source", "a.tar", "b.tar", "--source", "c.tar", "--out", "o"]
    assert parse(["shard", *words]).source == ["a.tar", "b.tar", "c.tar"]
    assert parse(["repair", "o", "--source", "a.tar", "--source", "b.tar"]).source == [Path("a.tar"), Path("b.tar")]
    assert parse(["repair", "o"]).source == []


def test_folders_given_one_by_one_are_one_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(b"x")
    words = ["shard", "--source", str(tmp_path / "x"), "--source", str(tmp_path / "y"), "--out", str(tmp_path / "o")]
    assert program.main([*words, "--dry-run"]) == 0
    assert "plan: 2 inputs" in capsys.readouterr().out


class ReachedError(Exception):
    """The function was reached."""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["shard", "--source", "a", "--out", "b"], "shard"),
        (["shard", "--source", "a", "--out", "b", "--dry-run"], "estimate"),
        (["verify", "a"], "verify"),
        (["repair", "a"], "repair"),
        (["info", "a"], "info"),
        (["inspect", "a"], "inspect"),
        (["check-leakage", "a"], "check_leakage"),
        (["bench-data", "a"], "bench_data"),
        (["train", "--shards", "a", "--run", "b"], "train"),
        (["eval", "--run", "b", "--shards", "a"], "evaluate"),
        (["probe", "--run", "b", "--shards", "a"], "probe"),
        (["probe", "--run", "b", "--esc50", "a"], "probe_esc50"),
        (["compare", "b"], "compare"),
        (["export", "--run", "b"], "export"),
        (["embed", "--run", "b", "--shards", "a", "--out", "c"], "embed"),
        (["search", "q", "--index", "c"], "search"),
        (["explore", "--run", "b"], "explore"),
        (["report", "--run", "b"], "report"),
        (["settings"], "settings"),
    ],
)
def test_a_command_calls_a_function_of_the_package(
    words: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its options are arguments of the function, which no type checker can see."""
    signature = inspect.signature(getattr(avcorr, name))

    def called(*arguments: object, **named: object) -> None:
        signature.bind(*arguments, **named)
        raise ReachedError

    monkeypatch.setattr(avcorr, name, called)
    with pytest.raises(ReachedError):
        call(parse(words))


def test_a_parser_is_used_more_than_once() -> None:
    for _ in range(2):
        assert parse(["info", "root"]).root == "root"


def test_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["settings", "train.steps"]) == 0
    assert re.match(r"train\.steps = 400000  \(int, >= 1\)\n    optimiser steps in all\n", capsys.readouterr().out)


def test_a_module_and_a_script_are_the_same_program(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "avcorr", "--version"]
    assert subprocess.check_output(words, text=True, cwd=tmp_path) == f"avcorr {__version__}\n"
