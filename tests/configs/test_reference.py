"""What a setting is called, holds and means, as the command and the page show it."""

from pathlib import Path

import pytest

from avcorr.configs.load import ConfigError, setting_names
from avcorr.configs.reference import setting_rows, settings_page, settings_text

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_up_to_date() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == settings_page(), "write it again: avcorr settings --markdown > docs/settings.md"


def test_every_setting_is_listed_with_its_meaning() -> None:
    rows = setting_rows()
    assert [row.name for row in rows] == setting_names()
    assert all(row.type and row.default and row.meaning for row in rows)


def test_a_row_tells_type_default_range_and_meaning() -> None:
    (row,) = setting_rows(["shard.test_fraction"])
    assert (row.type, row.default, row.range) == ("float", "0.1", ">= 0, < 1")
    assert settings_text([row]).startswith("shard.test_fraction = 0.1  (float, >= 0, < 1)\n    share of source videos")
    assert {row.name.rpartition(".")[0] for row in setting_rows(["model.spectrogram"])} == {"model.spectrogram"}
    with pytest.raises(ConfigError, match="no setting or section 'modell'; the sections are shard, pairs"):
        setting_rows(["modell"])
