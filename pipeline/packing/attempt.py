"""Try to make one input a clip; whatever happens, there is a row for the ledger."""

import os
import time
from dataclasses import replace
from typing import Any

from avcorr.shards.format.clip import Clip

from ..decoding.decoder import Decoder
from ..errors import MediaError
from ..sources.archive import MemoryFile, load_member
from ..sources.source import Source

Row = dict[str, Any]
Attempt = tuple[Clip | None, Row]


def attempt(source: Source, decoder: Decoder, attempts: int = 1, file: MemoryFile | None = None) -> Attempt:
    """Return the clip of a source, or None, and its row of the ledger.

    Args:
        source: the input.
        decoder: makes the clip.
        attempts: how many times it was tried, with this one.
        file: the source's content where it had to be read from a compressed archive.
    """
    began = time.monotonic()
    row = ledger_row(source, "packed", attempts=attempts)
    clip: Clip | None = None
    try:
        if source.problem:
            raise MediaError(*source.problem)
        if source.member is not None:
            file = file or load_member(source.path, source.member)
            clip = decoder.read(replace(source, path=file.path))
        else:
            clip = _read_file(source, decoder)
    except MediaError as error:
        row |= {"status": "failed", "code": error.code, "message": str(error)}
        row |= {"exit_code": error.exit_code, "stderr": error.stderr}
    return clip, row | {"seconds": round(time.monotonic() - began, 3)}


def _read_file(source: Source, decoder: Decoder) -> Clip:
    try:
        return decoder.read(source)
    except MediaError as error:
        if error.code != "missing" and not os.path.lexists(source.path):
            message = f"{source.path} vanished while it was read ({error})"
            raise MediaError("missing", message, exit_code=error.exit_code, stderr=error.stderr) from error
        raise


def ledger_row(source: Source, status: str, code: str = "", message: str = "", attempts: int = 1) -> Row:
    """Return a source's row of the ledger, as it is before ffmpeg has said anything."""
    return {"key": source.key, "source": source.name, "split": source.split, "status": status, "code": code,
            "message": message, "exit_code": 0, "stderr": "", "attempts": attempts, "seconds": 0.0}  # fmt: skip
