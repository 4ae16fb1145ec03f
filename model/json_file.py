"""JSON of a run's folder into typed values, or one error that says what is wrong and where."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from avcorr.files import read_file

T = TypeVar("T")
MOST_BYTES = 1 << 24
"""Of a file of a run; the largest, those of an evaluation, have some 1 MB."""


def parse_json(data: bytes, kind: TypeAdapter[T]) -> T:
    """Return typed values; JSON has no NaN, no endless nesting, and nothing is converted.

    Raises:
        ValueError: with the first problem: `avc.accuracy is not there`.
    """
    from_json(data, allow_inf_nan=False)  # where a type leaves values open, too
    try:
        return kind.validate_json(data, strict=True)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def read_json(path: Path, kind: TypeAdapter[T], most: int = MOST_BYTES) -> T:
    """Return what a file holds, as `parse_json`; raises OSError where it cannot be read or is too large."""
    return parse_json(read_file(path, most), kind)


def explain(error: ValidationError) -> str:
    """Return the first problem in words, with its place: `facts.seed: input should be a valid integer`."""
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part)[:60] for part in problem["loc"][:8])
    if problem["type"] == "missing":
        return f"{place} is not there"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}" if place else message
