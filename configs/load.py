"""Load a configuration: defaults, then a YAML file or a recipe, then single settings, validated as a whole."""

import difflib
import re
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from avcorr.errors import Error
from avcorr.files import read_file

from .schema import Config

_FOLDER = Path(__file__).parent  # recipes lie beside this file
_MOST_BYTES = 1 << 17
"""Of a configuration; the longest recipe has some 6,000."""
_MOST_LEVELS = 16
_MOST_LINES = 20
"""Of an error."""


class ConfigError(Error):
    """A configuration that cannot be used; the message has one line a problem, with its dotted path."""


Recipe = Config | Path | str | None
"""A configuration, the path of a YAML file, the name of a shipped recipe; None for the defaults."""
Overrides = Mapping[str, object] | Sequence[str]
"""Settings by dotted name, such as {"train.steps": 100}, or words as of --set: ["train.steps=100"]."""


class Override(NamedTuple):
    """One setting that is given beside a file."""

    name: str
    value: object
    words: str
    """How the user said it, for errors."""


def load_config(source: Recipe = None, *overrides: Overrides) -> Config:
    """Return the configuration of a file, a recipe or another configuration, with settings of its own.

    Args:
        source: what it begins with.
        overrides: settings that win over it; the later one wins. Words are read as YAML.

    Raises:
        ConfigError: on a file that cannot be read, a repeated or unknown key, a wrong type or a value out of range.
    """
    if isinstance(source, Config):
        values, origin = source.model_dump(), "configuration"
    elif source is None:
        values, origin = {}, "configuration"
    else:
        path = find_recipe(source)
        values, origin = read_yaml(path), str(path)
    given: dict[str, Override] = {}
    for override in chain.from_iterable(map(_read_overrides, overrides)):
        _apply(values, override)
        given[override.name] = override
    return check_config(values, origin, given.values())


def check_config(values: Mapping[str, Any], origin: str, overrides: Collection[Override] = ()) -> Config:
    """Return values, as a file or a checkpoint holds them, as a configuration; what they do not name is the default.

    Raises:
        ConfigError: on an unknown key, a wrong type or a value out of range; each line begins with origin, or with the
            override that is to blame.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(error, origin, overrides))) from error


def recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_recipe(source: Path | str) -> Path:
    """Return the path of a YAML file; a text without folder and ending names a recipe first.

    Raises:
        ConfigError: when it names neither a recipe nor a file that is there.
    """
    path = Path(source)
    if isinstance(source, Path) or path.suffix in (".yaml", ".yml") or path.name != source:
        return path
    if source not in recipes() and not path.is_file():
        raise ConfigError(f"there is no recipe {source!r}; the recipes are {', '.join(recipes())}, or give a YAML file")
    return _FOLDER / f"{source}.yaml" if source in recipes() else path


def dump_config(config: Config) -> str:
    """Return the resolved configuration as YAML that `load_config` reads back."""
    text: str = yaml.safe_dump(config.model_dump(), sort_keys=False)
    return text


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers and booleans, names as keys, and none repeated; no tags, no aliases, few levels.

    YAML 1.1, which PyYAML speaks, takes 1e-3 for a string, `no` for false, 12:30 for 750 and 010 for 8, and of a
    repeated key it silently keeps the last. Aliases make gigabytes of a few lines, and each level is a recursion.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            what = "an alias" if isinstance(event, yaml.AliasEvent) else f"the tag {event.tag[:100]}"
            raise yaml.MarkedYAMLError(problem=f"{what} is not read here; write the value itself", problem_mark=mark)
        if self._level == _MOST_LEVELS:
            raise yaml.MarkedYAMLError(problem=f"there are more than {_MOST_LEVELS} levels", problem_mark=mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"the key in line {line} is a {type(key).__name__}, not a name")
            if key in seen:
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
        data = read_file(path, _MOST_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give a YAML file or a recipe: {', '.join(recipes())}"
        ) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not valid YAML: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error
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
        raise ConfigError(f"{origin}: is not valid YAML: {_cut(problem, 300)}") from error


def _read_overrides(overrides: Overrides) -> Iterator[Override]:
    if isinstance(overrides, Mapping):
        for name, value in overrides.items():
            words = f"the setting {_cut(name)}={_cut(str(value))}"
            yield _named(name, str(value) if isinstance(value, Path) else value, words)
        return
    for text in overrides:
        name, separator, value = text.partition("=")
        words = f"--set {_cut(text, 200)}"
        if len(text) > _MOST_BYTES:
            raise ConfigError(f"{words}: has {len(text)} characters; a setting has at most {_MOST_BYTES}")
        yield _named(name if separator else "", _parse(value, words) if value else "", words)


def _named(name: str, value: object, words: str) -> Override:
    parts = name.split(".")
    if len(parts) < 2 or not all(parts):
        raise ConfigError(f"{words}: expected section.key=value, such as train.steps=100")
    return Override(name, value, words)


def _apply(values: dict[str, Any], override: Override) -> None:
    *sections, key = override.name.split(".")
    section = values
    for part in sections:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{override.words}: {part} is a value, not a section")
    section[key] = override.value


def _explain(error: ValidationError, origin: str, overrides: Collection[Override]) -> Iterator[str]:
    """Yield a line for each problem, which begins with what is to blame for it."""
    if error.error_count() > _MOST_LINES:
        yield f"{origin}: has {error.error_count()} mistakes; the first {_MOST_LINES} are"
    for problem in islice(error.errors(), _MOST_LINES):
        location = [_cut(str(part)) for part in problem["loc"]]
        name = ".".join(location)
        message = problem["msg"].removeprefix("Value error, ")
        exact = [each.words for each in overrides if f"{name}.".startswith(f"{each.name}.")]
        inside = [each.words for each in overrides if not name or each.name.startswith(f"{name}.")]
        if problem["type"] == "extra_forbidden":
            exact = exact or inside
            known = _known(location[:-1])
            near = difflib.get_close_matches(location[-1], known, 1)
            near = near or difflib.get_close_matches(name, setting_names(), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            text = f"unknown key {name}; {hint}"
        elif not location:
            text = message
        else:
            found = "" if problem["type"] == "value_error" else f"; found {_found(problem['input'])}"
            text = f"{name}: {message[0].lower()}{message[1:]}{found}"
        yield f"{' '.join(exact) or ' with '.join([origin, *inside])}: {text}"


def _found(value: object) -> str:
    kinds: dict[type, str] = {dict: "a mapping", list: "a list"}
    return kinds.get(type(value)) or _cut(repr(value))


def _cut(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _known(location: Sequence[str]) -> list[str]:
    model: Any = Config
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def setting_names() -> list[str]:
    """Return the dotted names of all settings."""
    return [name for name, _ in iter_settings()]


def iter_settings(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the dotted name and the field of each setting, in the order of the sections."""
    fields: Mapping[str, FieldInfo] = model.model_fields
    for name, field in fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from iter_settings(nested, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field
