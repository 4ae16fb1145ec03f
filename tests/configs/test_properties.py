"""Configuration, for any settings: what is written comes back, and a single setting is as good as a file."""

import json
import math
from functools import reduce
from typing import Any, Literal, get_args, get_origin

import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from avcorr.configs.load import ConfigError, check_config, dump_config, iter_settings, load_config, read_yaml
from avcorr.configs.schema import Config
from avcorr.model.settings import PROTOCOLS

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


FIELDS = dict(iter_settings())
PROTOCOL_NAMES = st.sampled_from(
    [*PROTOCOLS, *(f"{name}/{pooling}" for name in PROTOCOLS for pooling in ("center", "mean10", "random"))]
)


def values_of(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Return values of a setting's type within its bounds; what else must hold of it, they may break."""
    kind, bounds = field.annotation, {}
    for limit in field.metadata:
        names = ("ge", "gt", "le", "lt", "multiple_of", "pattern")
        bounds |= {name: getattr(limit, name) for name in names if getattr(limit, name, None) is not None}
    low, high = bounds.get("ge", bounds.get("gt", 0)), bounds.get("le", bounds.get("lt", 10**9))
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(low, high).map(lambda value: value - value % bounds.get("multiple_of", 1) or high)
    if kind is float:
        return st.floats(low, high, exclude_min="gt" in bounds, exclude_max="lt" in bounds)
    assert kind is str, kind
    pattern = bounds.get("pattern")
    return st.from_regex(pattern, fullmatch=True) if pattern else TEXTS


def companions(name: str, value: Any) -> dict[str, Any]:
    """Return the settings without which a value of one is refused whatever it is."""
    if name.endswith(".sample_rate"):
        return {"shard.sample_rate": value, "model.spectrogram.sample_rate": value}
    if name in ("pairs.aligned", "train.objective"):
        aligned = value if name == "pairs.aligned" else value != "pair"
        return {"pairs.aligned": aligned, "train.objective": "deranged" if aligned else "pair"}
    if name in ("model.spectrogram.hop", "model.spectrogram.mel_bins"):
        return {"model.spectrogram.window": 2 * value + 16}
    if name == "train.warmup_steps":
        return {"train.steps": value + 1}
    if name == "eval.protocol":
        return {"eval.gallery": "" if value.startswith(("full", "avenet")) else "ids"}
    return {
        "shard.skip_nonref": {"shard.decoder": "pyav"}, "model.localise": {"model.architecture": "avenet"},
        "eval.gallery": {"eval.protocol": "list"}, "model.spectrogram.window": {"model.spectrogram.hop": 16}, 
    }.get(name, {})  # fmt: skip


def setting(config: Config, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)


def yaml_text(value: Any) -> str:
    """Return a value as it can be given to --set."""
    return json.dumps(value, ensure_ascii=False)


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
            assert str(error).startswith(f"--set {text}: "[:206])
        else:
            assert config.train.steps >= 1 and math.isfinite(config.train.learning_rate)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(FIELDS)), data=st.data())
def test_any_value_of_any_setting_is_written_and_comes_back(name: str, data: st.DataObject) -> None:
    value = data.draw(PROTOCOL_NAMES if name == "eval.protocol" else values_of(FIELDS[name]))
    given = {**companions(name, value), name: value}
    try:
        config = load_config(None, given)
    except ConfigError:
        reject()  # it does not fit another setting
    assert check_config(yaml.safe_load(dump_config(config)), "text") == config
    assert load_config(None, [f"{key}={yaml_text(each)}" for key, each in given.items()]) == config


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(FIELDS)),
    value=st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | TEXTS | st.lists(st.integers()),
)
def test_whatever_set_says_is_taken_or_blamed_on_it(name: str, value: Any) -> None:
    text = f"{name}={yaml_text(value)}"
    try:
        config = load_config(None, [text])
    except ConfigError as error:
        assert all(f"--set {text[:200]}" in line for line in str(error).splitlines())
    else:
        found = reduce(getattr, name.split("."), config)
        assert found == value or name == "eval.protocol"


@given(data=st.binary(max_size=60) | TEXTS.map(str.encode))
def test_any_file_is_read_or_a_known_error(tmp_path_factory: Any, data: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "a.yaml"
    file.write_bytes(data)
    try:
        assert isinstance(read_yaml(file), dict)
    except ConfigError as error:
        assert "a.yaml" in str(error)
