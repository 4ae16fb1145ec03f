"""Texts from files, as hostile as they may be, on a terminal and in what is drawn."""

import io
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avcorr.commands.terminal import PLAIN, RED, EscapedStream
from avcorr.pages.sheets.contact_sheet import LONGEST_TEXT, clip_sheet, describe, rows_sheet
from avcorr.printable import printable, printable_lines
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import Clip
from avcorr.shards.index.layout import DATASET, RECORDS, ShardName, write_json
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.writer import ShardWriter
from tests.shards.test_writer import make_clip, row
from tests.support.commands import command

ACTING = "\x1b[2J\x1b[31mall well\x00\u202e\x9b\r\n\t\x7f\u2028\ud800\U000e0041"
ORDINARY = "é 漢字 \u3000\u00a0שלום سلام می\u200cخواهم 👩\u200d👩\u200d👧 ❤\ufe0f \U0001fae8 🇩🇪"


def labelled(label: str) -> Clip:
    clip = make_clip("va")
    return Clip(replace(clip.metadata, label=label, labels=[label]), clip.wav, clip.mjpg)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset whose one clip has a hostile label."""
    root, name = tmp_path / "root", ShardName("clips", "train", 0)
    write_json(root / DATASET, {"format": 1, "settings": {"name": "clips"}, "inputs": 1})
    with ShardWriter(root, name, ["va"]) as writer:
        writer.add(labelled(ACTING.replace("\ud800", "")), row("va"))
        writer.publish()
    write_ledger(root, [row("va")])
    finish_dataset(root)
    return root


def test_what_acts_is_escaped_as_json_escapes_it() -> None:
    assert printable(ACTING).isascii() and json.loads(f'"{printable(ACTING)}"') == ACTING
    assert printable("a\x1bb\U000e0041") == "a\\u001bb\\udb40\\udc41"
    assert printable_lines(f"{ACTING}\nb").split("\n")[-1] == "b"


def test_what_is_ordinary_stays_as_it_is() -> None:
    assert printable(ORDINARY) == printable_lines(ORDINARY) == ORDINARY


@pytest.mark.parametrize("length", [10, 11, 10**7])
def test_a_long_text_is_cut(length: int) -> None:
    assert printable("x" * length, 10) == ("x" * 10 if length == 10 else "x" * 9 + "…")


def test_commands_print_no_character_that_acts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("info", root, "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"] == {ACTING.replace("\ud800", ""): 1}
    (root / RECORDS / "\x1b[31mred.json").write_bytes(b"{")
    (root / "train" / "\x1b[2J\u202e.tar").write_bytes(bytes(10240))
    for words in (["info", root], ["info", root, "--json"], ["verify", root], ["verify", root, "--full", "--json"],
                  ["repair", root]):  # fmt: skip
        command(*words)
        for shown in capsys.readouterr():
            assert not set(shown) & (set(ACTING) - set("[231mJal we\n")), (words, shown)


def test_the_log_is_made_of_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command("info", tmp_path)
    capsys.readouterr()
    logging.getLogger("avcorr.x").warning("label %s", ACTING)
    assert capsys.readouterr().err == f"label {printable(ACTING)}\n"


def test_failed_checks_are_red_on_a_terminal_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, red, plain in ((Terminal(), RED, PLAIN), (io.StringIO(), "", "")):
        print(f"FAILED: silence\nnot FAILED: {RED}", file=EscapedStream(stream))  # type: ignore[arg-type]
        assert stream.getvalue() == f"{red}FAILED: silence{plain}\nnot FAILED: \\u001b[31m\n"


def test_stdout_is_given_back(tmp_path: Path) -> None:
    before = sys.stdout
    assert command("info", tmp_path) == 1 and sys.stdout is before


@pytest.mark.parametrize("label", ["two\nlines", "x" * 120_000, ACTING, "漢" * 4000])
def test_any_label_is_drawn_in_one_line(label: str) -> None:
    clip = labelled(label)
    assert len(describe(clip)[0]) < LONGEST_TEXT + 100 and "\n" not in "".join(describe(clip))
    one, two = clip_sheet(clip), rows_sheet([clip], label, notes=[label])
    for sheet, right in ((one, 1620), (two, 1470)):
        assert np.asarray(sheet).min() < 255 and (np.asarray(sheet)[:40, right:] == np.asarray(sheet)[0, 0]).all()
