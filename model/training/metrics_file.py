"""RUN/metrics.jsonl: what a training logged, a line each `log_every` steps."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from avcorr.files import open_file, replacing
from avcorr.json_file import parse_json

from ..errors import ModelError

METRICS = "metrics.jsonl"
MOST_LINES, MOST_BYTES = 1 << 20, 1 << 16
"""Of the file, and of a line of it."""
WARNINGS = 5

logger = logging.getLogger(__name__)

Step = Annotated[int, Field(ge=0, le=10**12)]


@with_config(ConfigDict(extra="allow"))
class Row(TypedDict):
    """What every line has; the figures beside it are numbers, or null where there is none."""

    step: Step


_ROW = TypeAdapter(Row)


def read_metrics(path: Path) -> Iterator[tuple[int, Mapping[str, Any], bytes]]:
    """Yield the step, the figures and the bytes of each line; what is none is left out with a warning.

    Nothing where there is no file. Raises ModelError when it cannot be read or has no end.
    """
    if not path.exists():
        return
    number = left_out = 0
    try:
        with open_file(path) as file:
            while line := file.readline(MOST_BYTES):
                number += 1
                if number > MOST_LINES:
                    raise ModelError(f"{path} has more than {MOST_LINES} lines; move it away")
                try:
                    row = parse_json(line, _ROW)
                    yield row["step"], row, line.strip()
                except ValueError as error:
                    # A run that was killed may leave its last line cut short.
                    left_out += 1
                    if left_out <= WARNINGS:
                        logger.warning("%s line %d is no JSON object with a step (%s); left out", path, number, error)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); move it away") from error
    if left_out > WARNINGS:
        logger.warning("%s: %d lines were left out in all", path, left_out)


def truncate_metrics(path: Path, step: int) -> None:
    """Keep the lines up to a step, each step once: the later line of a step counts."""
    kept = {found: line for found, _, line in read_metrics(path) if found <= step}
    if path.exists():
        with replacing(path) as file:
            file.writelines(kept[found] + b"\n" for found in sorted(kept))


def metrics_line(metrics: Mapping[str, float | None]) -> str:
    """Return a line; numbers keep their full precision, and what is not finite is null."""
    finite = {name: None if value is None or not math.isfinite(value) else value for name, value in metrics.items()}
    return json.dumps(finite) + "\n"
