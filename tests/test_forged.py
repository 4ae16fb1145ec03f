"""Five hundred forged files of all kinds that the program believes in: each is refused in a line, or does no harm."""

import logging
from pathlib import Path

import pytest

from tests.support.forging import Fault, make_base, run_forgeries

INPUTS = 500


def test_forged_files_are_refused_in_one_line_and_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`benchmarks/forge.py` draws 20,000 and says what is counted as a fault."""
    faults: dict[str, Fault] = {}
    base = make_base(tmp_path / "base")
    (tmp_path / "forged").mkdir()
    caplog.set_level(logging.CRITICAL)
    counts = run_forgeries(
        base, tmp_path / "forged", INPUTS, 0, on_fault=lambda fault: faults.setdefault(fault.signature, fault)
    )
    assert not faults, "\n".join(map(str, faults.values()))
    assert counts.total() == INPUTS and sum(count for what, count in counts.items() if what.endswith("refused")) > 200
