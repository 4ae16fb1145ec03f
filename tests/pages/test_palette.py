"""One palette: what is drawn in Python has the colours of the style sheet, and no page brings a second set."""

import re
from pathlib import Path

import numpy as np

from avcorr.pages import palette

PAGES = Path(palette.__file__).parent


def test_pictures_have_the_colours_of_the_pages() -> None:
    style = (PAGES / "base.css").read_text()
    assert f"--ground: #{bytes(palette.PAPER).hex()};" in style and f"--mark: #{bytes(palette.MARK).hex()};" in style
    assert palette.HEAT.shape == (7, 3) and (np.diff(palette.HEAT.sum(1)) > 0).all()
    np.testing.assert_array_equal(palette.heat(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])), palette.HEAT[[0, 0, 3, 6, 6]])


def test_every_colour_that_is_used_is_there_once_in_light_and_dark() -> None:
    base = (PAGES / "base.css").read_text()
    for path in PAGES.glob("*/*.css"):
        style = base + path.read_text()
        names = re.findall(r"^\s*--([a-z-]+): #", style, re.MULTILINE)
        assert {names.count(name) for name in names} == {2}, path
        used, known = re.findall(r"var\(--([\w-]+)\)", style), re.findall(r"--([\w-]+):", style)
        assert set(used) <= set(known), path
