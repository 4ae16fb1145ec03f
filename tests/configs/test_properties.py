"""Configuration, for any settings: what is written comes back, and a single setting is as good as a file."""

import math
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from avcorr.configs.load import ConfigError, check_config, dump_config, load_config, read_yaml
from avcorr.configs.schema import Config

NUMBERS = {
    "train.steps": st.integers(1, 10**6),
    "train.seed": st.integers(0, 2**31 - 1),
    "train.learning_rate": st.floats(1e-12, 1.0),
    "pairs.window_seconds": st.floats(0.01, 60.0),
    "pairs.positive_rate": st.floats(0.0, 1.0),
    "shard.short_side": st.integers(16, 4096),
    "shard.test_fraction": st.floats(0.0, 0.99),
}
SETTINGS = st.fixed_dictionaries({}, optional=NUMBERS)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=30)


def setting(config: Config, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)


def as_words(settings: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in settings.items()]


@given(settings=SETTINGS)
def test_a_setting_arrives_as_it_was_given(settings: dict[str, Any]) -> None:
    config = load_config(None, as_words(settings))
    for name, value in settings.items():
        assert setting(config, name) == value and type(setting(config, name)) is type(value)


@given(settings=SETTINGS)
def test_words_and_values_make_one_configuration(settings: dict[str, Any]) -> None:
    assert load_config(None, as_words(settings)) == load_config(None, settings)


@given(settings=SETTINGS, path=TEXTS)
def test_what_is_written_comes_back(settings: dict[str, Any], path: str) -> None:
    config = load_config(None, {**settings, "shard.ffmpeg": path})
    assert check_config(yaml.safe_load(dump_config(config)), "text") == config


@given(first=SETTINGS, second=SETTINGS)
def test_the_later_one_wins(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert load_config(None, first, second) == load_config(None, {**first, **second})


@given(words=TEXTS)
def test_any_words_are_a_setting_or_a_known_error(words: str) -> None:
    for text in (words, f"train.steps={words}", f"{words}=1"):
        try:
            config = load_config(None, [text])
        except ConfigError as error:
            assert str(error)
        else:
            assert config.train.steps >= 1 and math.isfinite(config.train.learning_rate)


@given(data=st.binary(max_size=60) | TEXTS.map(str.encode))
def test_any_file_is_read_or_a_known_error(tmp_path_factory: Any, data: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "a.yaml"
    file.write_bytes(data)
    try:
        assert isinstance(read_yaml(file), dict)
    except ConfigError as error:
        assert "a.yaml" in str(error)
