"""Every setting with its type, default, range and meaning, as text and as the page docs/settings.md."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from .load import ConfigError, iter_settings

_BOUNDS = {
    "ge": ">= {}", "gt": "> {}", "le": "<= {}", "lt": "< {}", "multiple_of": "a multiple of {}",
    "min_length": "{} or more characters", "pattern": "matches {}",
}  # fmt: skip
_HEAD = """# Settings

Written by `avcorr settings --markdown > docs/settings.md`; a test holds it equal to the code. A YAML file given with
`--config` has a section for each part, `--set section.name=value` changes one, and what neither names has its default.
"""


class SettingRow(NamedTuple):
    """One setting, for people."""

    name: str
    type: str
    default: str
    range: str
    """Empty: any value of the type."""
    meaning: str


def setting_rows(names: Collection[str] = ()) -> list[SettingRow]:
    """Return all settings, or those whose dotted names are or begin with one of `names`.

    Raises:
        ConfigError: when a name is that of no setting and no section.

    Example:
        >>> [row] = avcorr.settings(["train.steps"])
        >>> row.default, row.range
        ('400000', '>= 1')
    """
    rows = [_row(name, field) for name, field in iter_settings()]
    for name in names:
        if not any(_lies_in(row, name) for row in rows):
            sections = ", ".join(dict.fromkeys(row.name.partition(".")[0] for row in rows))
            raise ConfigError(f"there is no setting or section {name!r}; the sections are {sections}")
    return [row for row in rows if not names or any(_lies_in(row, name) for name in names)]


def settings_text(rows: Iterable[SettingRow]) -> str:
    """Return settings as text: two lines for each."""
    lines = []
    for row in rows:
        bounds = f", {row.range}" if row.range else ""
        lines.append(f"{row.name} = {row.default}  ({row.type}{bounds})\n    {row.meaning}")
    return "\n".join(lines)


def settings_page() -> str:
    """Return the page docs/settings.md: a table for each section."""
    parts = [_HEAD]
    section = ""
    for row in setting_rows():
        if row.name.partition(".")[0] != section:
            section = row.name.partition(".")[0]
            parts.append(f"\n## {section}\n\n| setting | type | default | range | meaning |\n|---|---|---|---|---|\n")
        cells = (f"`{row.name}`", row.type, f"`{row.default}`", f"`{row.range}`" if row.range else "", row.meaning)
        parts.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n")
    return "".join(parts)


def _lies_in(row: SettingRow, name: str) -> bool:
    return f"{row.name}.".startswith(f"{name}.")


def _row(name: str, field: FieldInfo) -> SettingRow:
    annotation: Any = field.annotation
    kind = (
        ", ".join(map(str, get_args(annotation)))
        if get_origin(annotation) is Literal
        else getattr(annotation, "__name__", str(annotation))
    )
    default = json.dumps(field.get_default(call_default_factory=True))
    return SettingRow(name, kind, default, ", ".join(_bounds(field)), field.description or "")


def _bounds(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        for attribute, words in _BOUNDS.items():
            if (value := getattr(limit, attribute, None)) is not None:
                yield words.format(value)
