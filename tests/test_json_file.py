"""JSON of files: one parser says in one line what is wrong, whoever wrote it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from avcorr.json_file import load_json, parse_json, read_json


class _Facts(TypedDict):
    seed: int
    more: dict[str, Any]


FACTS = TypeAdapter(_Facts)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b'{"seed": 1}', "more is not there"),
        (b'{"seed": "x", "more": {}}', 'seed: input should be a valid integer; found "x"'),
        (b'{"seed": 1.0, "more": {}}', "seed: input should be a valid integer.*; found 1.0"),
        (b'{"seed": 1, "seed": 2, "more": {}}', "'seed' is there twice"),
        (b'{"seed": 1, "more": {"a": NaN}}', "NaN is no number that JSON has"),
        (b'{"seed": 1, "more": {"a": -Infinity}}', "-Infinity is no number that JSON has"),
        (b'{"seed": 1, "more": {"a": 1e999}}', "1e999 is no number that JSON has"),
        (b'{"seed": 1, "more": ' + b"[" * 100_000, "is nested too deeply"),
        (b'{"seed": 1, "more": {"a": "\xff"}}', "'utf-8' codec"),
        (b'{"seed": 1', "Expecting ',' delimiter"),
        (b"[1]", r"^input should be an object; found \[1\]"),
        (b"", "Expecting value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: bytes, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as told:
        parse_json(text, FACTS)
    assert "\n" not in str(told.value)


def test_a_file_is_read_as_far_as_its_kind_may_be(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(b'{"seed": 1, "more": {}}')
    assert read_json(path, FACTS) == {"seed": 1, "more": {}}
    with pytest.raises(OSError, match="has 23 bytes; a file of its kind has at most 20"):
        read_json(path, FACTS, 20)


def test_json_of_other_programs_may_have_numbers_that_lack() -> None:
    assert load_json('{"label": NaN, "start": 1.5, "start": 2}') == {"label": None, "start": 2}
    with pytest.raises(ValueError, match="nested too deeply"):
        load_json("[" * 100_000)
