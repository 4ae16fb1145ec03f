"""Load a configuration: defaults, then a YAML file, then `--set a.b=c`, validated as a whole by pydantic."""

import difflib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from avcorr.errors import Error

from .schema import Config


class ConfigError(Error):
    """A configuration that cannot be used; the message has one line a problem, with its dotted path."""


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a file and overrides.

    Args:
        path: YAML file; None for defaults alone.
        overrides: `section.key=value` each; the value is read as YAML.

    Raises:
        ConfigError: on a file that cannot be read, a repeated or unknown key, a wrong type or a value out of range.
    """
    values = read_yaml(path) if path else {}
    for override in overrides:
        _apply(values, override)
    return check_config(values, str(path) if path else "configuration")


def check_config(values: Mapping[str, Any], origin: str) -> Config:
    """Return values, as a file or a checkpoint holds them, as a configuration; what they do not name is the default.

    Raises:
        ConfigError: on an unknown key, a wrong type or a value out of range; each line begins with origin.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{origin}: {line}" for line in _explain(error))) from error


def dump_config(config: Config) -> str:
    """Return the resolved configuration as YAML that `load_config` reads back."""
    text: str = yaml.safe_dump(config.model_dump(), sort_keys=False)
    return text


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML 1.2's numbers and booleans, and no repeated keys.

    YAML 1.1, which PyYAML speaks, takes 1e-3 for a string, `no` for false, 12:30 for 750 and 010 for 8, and of a
    repeated key it silently keeps the last.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is repeated in line {line}")
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


_NUMBER_STARTS = list("-+.0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), _NUMBER_STARTS)
_FLOAT = r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_FLOAT), _NUMBER_STARTS)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds, unvalidated. Raises ConfigError when there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give --config a YAML file") from error
    values = _parse(text, str(path))
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}; expected sections such as train: and pairs:")
    return values


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"{origin}: is not valid YAML: {problem}") from error


def _apply(values: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    parts = name.split(".")
    if not separator or len(parts) < 2 or not all(parts):
        raise ConfigError(f"--set {override}: expected section.key=value, such as train.steps=100")
    value = _parse(text, f"--set {override}") if text else ""
    section = values
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {part} is a value, not a section")
    section[parts[-1]] = value


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        name = ".".join(location)
        if problem["type"] == "extra_forbidden":
            known = _known(location[:-1])
            near = difflib.get_close_matches(location[-1], known, 1)
            near = near or difflib.get_close_matches(name, _all_names(), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            yield f"unknown key {name}; {hint}"
        elif not location:
            yield problem["msg"].removeprefix("Value error, ")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            found = "" if problem["type"] == "value_error" else f"; found {problem['input']!r}"
            yield f"{name}: {message[0].lower()}{message[1:]}{found}"


def _known(location: Sequence[str]) -> list[str]:
    model: Any = Config
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def _all_names(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    names: list[str] = []
    fields: Mapping[str, Any] = model.model_fields
    for name, field in fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            names += _all_names(nested, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names
