"""From the bytes of a JSON file of the index to typed values, or one line that names the field and what was found."""

import json
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

_T = TypeVar("_T")
_SHOWN = 60


def parse(data: bytes | str, kind: TypeAdapter[_T]) -> _T:
    """Return what a JSON text says, of a type.

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


def first_fault(error: ValidationError) -> str:
    """Return in one line the first of what pydantic found."""
    fault = error.errors(include_url=False)[0]
    where, what = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("missing", "value_error", "json_invalid"):
        return f"{where}: {what}" if where else what
    found = json.dumps(fault["input"], default=str)
    return f"{where or 'all of it'} is {found if len(found) <= _SHOWN else f'{found[:_SHOWN]}...'}: {what}"


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
