"""What the command line makes of its words."""

import argparse
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import avcorr
from avcorr import __version__
from avcorr.commands import main as program
from avcorr.commands.options import folder
from avcorr.commands.parser import COMMANDS, call, parse


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


@pytest.mark.parametrize("command", COMMANDS)
def test_where_a_folder_is_wanted_an_address_is_refused(command: str) -> None:
    """Each option whose value becomes a path; a Path of s3://x would be a local folder s3:."""
    added = argparse.ArgumentParser()
    import_module(f"avcorr.commands.{command.replace('-', '_')}").add_options(added)
    for action in added._actions:
        assert action.type is not Path, f"{action.dest}: give it the type `folder`"
        if action.type is folder:
            with pytest.raises(argparse.ArgumentTypeError, match=r"^s3://b/x: wants a folder or file of this machine$"):
                folder("s3://b/x")


def test_an_address_in_place_of_a_run_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["train", "--shards", "a", "--run", "s3://b/x"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("error: argument --run: s3://b/x: wants a folder or file of this machine")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: avcorr.train("data/shards", "s3://b/run"),
        lambda: avcorr.evaluate("s3://b/run", "data/shards"),
        lambda: avcorr.probe("s3://b/run", "data/shards"),
        lambda: avcorr.probe_esc50("s3://b/run", "esc50"),
        lambda: avcorr.probe_esc50("runs/a", "s3://b/esc50"),
        lambda: avcorr.export("s3://b/run"),
        lambda: avcorr.export("runs/a", "gs://b/model"),
        lambda: avcorr.embed("runs/a", "data/shards", "az://b/embedded"),
        lambda: avcorr.search("s3://b/embedded", "x.jpg"),
        lambda: avcorr.explore("s3://b/run"),
        lambda: avcorr.inspect("data/shards", "s3://b/x.png"),
        lambda: avcorr.report("s3://b/run"),
        lambda: avcorr.compare(["s3://b/run"]),
        lambda: avcorr.load("s3://b/run"),
        lambda: avcorr.load(Path("s3://b/run")),
        lambda: avcorr.repair("s3://b/root"),
        lambda: avcorr.shard("videos", "data/new", videos="s3://b/videos"),
        lambda: avcorr.shard("videos", "s3://b/root", work="s3://b/work"),
        lambda: avcorr.open("s3://b/root", cache="s3://b/cache"),
    ],
)
def test_a_function_that_wants_a_folder_refuses_an_address(
    ask: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(avcorr.Error, match="://?b/.*: wants a folder or file of this machine"):
        ask()
    assert not list(tmp_path.iterdir())


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
