"""JSON of files into typed values, or one line that names the field, what was found and why that cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from .files import read_file

_T = TypeVar("_T")
MOST_BYTES = 1 << 24
"""Of a file, where its kind says nothing else."""
_SHOWN = 60


def parse_json(data: bytes | str, kind: TypeAdapter[_T]) -> _T:
    """Return what a JSON text says, of a type; nothing is converted.

    Raises:
        ValueError: in one line, where it is no JSON in UTF-8, has a name twice, NaN or a number without end, is nested
            too deeply, or breaks the type.
    """
    try:
        if isinstance(data, bytes):
            data = data.decode()
        json.loads(data, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
        return kind.validate_json(data, strict=True)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def read_json(path: Path, kind: TypeAdapter[_T], most: int = MOST_BYTES) -> _T:
    """Return what a file of at most `most` bytes holds, as `parse_json`. Raises OSError where it cannot be read."""
    return parse_json(read_file(path, most), kind)


def load_json(data: bytes | str) -> Any:
    """Return what JSON of anybody's says, of any type; NaN, which other programs write for what lacks, is None.

    Raises:
        ValueError: in one line, where it is no JSON or nested too deeply.
    """
    try:
        return json.loads(data, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def accepted_by(model: type[BaseModel]) -> Callable[[_T], _T]:
    """Return what passes a mapping on as it is where a model accepts it, and else raises ValueError: a validator."""

    def check(values: _T) -> _T:
        try:
            model.model_validate(values)
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        return values

    return check


def first_fault(error: ValidationError) -> str:
    """Return in one line the first of what pydantic found: `facts.seed: input should be an integer; found "x"`."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part)[:_SHOWN] for part in fault["loc"][:8])
    what = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{where} is not there"
    if fault["type"] in ("value_error", "json_invalid"):
        return f"{where}: {what}" if where else what
    found = json.dumps(fault["input"], default=str)
    found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    text = f"{what[0].lower()}{what[1:]}; found {found}"
    return f"{where}: {text}" if where else text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{max(names, key=names.count)[:_SHOWN]!r} is there twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:  # NaN or infinite
        raise ValueError(f"{text[:_SHOWN]} is no number that JSON has")
    return number
