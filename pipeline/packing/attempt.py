"""Try to make one input a clip; whatever happens, there is a row for the ledger.

Which clip goes into which shard does not depend on where it lies, so the clips of a compressed archive are needed in
another order than they can be read in. They are decoded first, in the archive's order, and wait on disk.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import Field, TypeAdapter
from tqdm import tqdm

from avcorr.errors import OutputError
from avcorr.files import open_file, write_atomically
from avcorr.json_file import parse_json
from avcorr.shards.ahead import map_ahead
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.format.clip import Clip, ClipMetadata
from avcorr.shards.index.layout import WORK
from avcorr.shards.index.record import Row as GatedRow

from ..decoding.decoder import Decoder, stopped_on_error
from ..errors import MediaError
from ..sources.archive import MemoryFile, load_member, read_members
from ..sources.content import content_of
from ..sources.source import Source

logger = logging.getLogger(__name__)

_IN_FLIGHT_BYTES = 512 << 20
"""Members that wait for a free worker may take this much memory, and one more member."""
_MOST_HEAD = 1 << 20
"""Bytes of a row of the ledger and what it takes to read the clip."""
OF_THE_MOMENT = {"timeout", "missing", "unreadable", "crashed"}
"""Failures that another run may not have."""
Row = dict[str, Any]
Attempt = tuple[Clip | None, Row]


def attempt(source: Source, decoder: Decoder, attempts: int = 1, file: MemoryFile | None = None) -> Attempt:
    """Return the clip of a source, or None, and its row of the ledger.

    `attempts` counts this one, too; `file` is the content where it had to be read from a compressed archive.
    """
    began = time.monotonic()
    row = ledger_row(source, "packed", attempts=attempts)
    clip: Clip | None = None
    try:
        if source.problem:
            raise MediaError(*source.problem)
        if source.member is not None:
            file = file or load_member(source.path, source.member)
            row |= _content(file.path)
            clip = decoder.read(replace(source, path=file.path))
        else:
            row |= _content(source.path, *filter(None, [source.audio]))
            clip = _read_file(source, decoder)
    except MediaError as error:
        row |= {"status": "failed", "code": error.code, "message": str(error)}
        row |= {"exit_code": error.exit_code, "stderr": error.stderr}
    return clip, row | {"seconds": round(time.monotonic() - began, 3)}


def _content(*paths: str) -> Row:
    """Return what tells the content of a source again; what cannot be read is the decoder's to tell."""
    try:
        return dict(zip(("bytes", "digest"), content_of(*paths), strict=True))
    except OSError:
        return {}


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
            "message": message, "exit_code": 0, "stderr": "", "attempts": attempts, "seconds": 0.0,
            "bytes": 0, "digest": ""}  # fmt: skip


def is_streamed(source: Source) -> bool:
    """Return whether a source can only be reached by reading an archive from its beginning."""
    return source.member is not None and source.member.compressed and source.problem is None


def progress_bar(what: str, total: int, done: int = 0) -> "tqdm[Any]":
    """Return a bar that is shown where the log is shown and stderr is a terminal."""
    hidden = None if logger.isEnabledFor(logging.INFO) else True  # None: where stderr is no terminal
    return tqdm(total=total, initial=done, unit="clip", disable=hidden, desc=what)


class Spool:
    """Attempts that wait under `work/spool/`, by key, until their shards come; together as large as their shards.

    Each is there wholly or not at all, so a kill costs only the clips in flight.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / WORK / "spool"

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()[:2] / key

    def put(self, clip: Clip | None, row: Row) -> None:
        """Keep an attempt."""
        parts = (clip.metadata.to_json(), clip.wav, clip.mjpg) if clip else ()
        payload = b"".join(parts)
        head = {"row": row, "sizes": [len(part) for part in parts], "sha256": hashlib.sha256(payload).hexdigest()}
        write_atomically(self._path(row["key"]), json.dumps(head).encode() + b"\n" + payload)

    def take(self, key: str) -> Attempt:
        """Return an attempt; it stays until it is dropped.

        Raises:
            OutputError: when it does not read back as it was written.
        """
        path = self._path(key)
        try:
            with open_file(path) as file:
                head = _read_head(file)
                payload = file.read(sum(head.sizes) + 1)
            if hashlib.sha256(payload).hexdigest() != head.sha256 or head.row["key"] != key:
                raise ValueError("another checksum or key")
            first, second, _ = head.sizes or (0, 0, 0)
            metadata = ClipMetadata.from_json(payload[:first]) if head.sizes else None
        except (ValueError, ShardFormatError) as error:
            path.unlink()
            text = f"{path} reads back other bytes than were written ({error}); check the disk and run again"
            raise OutputError(text) from error
        clip = Clip(metadata, payload[first : first + second], payload[first + second :]) if metadata else None
        return clip, dict(head.row)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget attempts that are in a published shard."""
        if self._folder.exists():
            for key in keys:
                self._path(key).unlink(missing_ok=True)

    def fill(self, sources: Sequence[tuple[Source, int]], decoder: Decoder, workers: int) -> None:
        """Decode the streamed ones of some sources, each given with the number of its attempt.

        Each archive is read once; what waits already is not decoded again.
        """
        streamed = [pair for pair in sources if is_streamed(pair[0])]
        waiting = sorted((pair for pair in streamed if not self._has(*pair)), key=_position)
        if not waiting:
            return
        least = -(-_IN_FLIGHT_BYTES // (2 * workers))  # so that no more than two members a worker wait

        def work(item: tuple[Source, int, MemoryFile]) -> None:
            source, attempts, file = item
            self.put(*attempt(source, decoder, attempts, file))

        def cost(item: tuple[Source, int, MemoryFile]) -> int:
            return max(least, item[2].size)

        with (
            progress_bar("archives", len(waiting)) as progress,
            ThreadPoolExecutor(workers, thread_name_prefix="decode") as executor,
            stopped_on_error(decoder),
            closing(map_ahead(executor, work, self._load(waiting), _IN_FLIGHT_BYTES, cost)) as done,
        ):
            for _ in done:
                progress.update()
            progress.update(len(waiting) - progress.n)

    def _load(self, waiting: Iterable[tuple[Source, int]]) -> Iterator[tuple[Source, int, MemoryFile]]:
        """Yield the content of each source; keep the failure of one that cannot be read."""
        for path, group in groupby(waiting, key=lambda pair: pair[0].path):
            pairs = list(group)
            members = [source.member for source, _ in pairs if source.member]
            for (source, attempts), file in zip(pairs, read_members(path, members), strict=True):
                if isinstance(file, MediaError):
                    self.put(None, ledger_row(source, "failed", file.code, str(file), attempts))
                else:
                    yield source, attempts, file

    def _has(self, source: Source, attempts: int) -> bool:
        """Return whether an attempt waits; a failure does not count that was of the moment, or is to be tried again."""
        path = self._path(source.key)
        if not path.exists():
            return False
        try:
            with open_file(path) as file:
                row = _read_head(file).row
        except (OSError, ValueError):
            return False
        return row["status"] == "packed" or attempts == 1 and row["code"] not in OF_THE_MOMENT


@dataclass(frozen=True, slots=True)
class _Head:
    """The first line of a file of the spool."""

    row: GatedRow
    sizes: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(max_length=3)]
    """Of metadata, sound and frames; none of a failure."""
    sha256: str


@cache
def _schema() -> TypeAdapter[_Head]:
    return TypeAdapter(_Head)


def _read_head(file: BinaryIO) -> _Head:
    head = parse_json(file.readline(_MOST_HEAD), _schema())
    if len(head.sizes) not in (0, 3):
        raise ValueError(f"sizes of {len(head.sizes)} members")
    return head


def _position(pair: tuple[Source, int]) -> tuple[str, int, float]:
    source = pair[0]
    assert source.member is not None
    return source.path, source.member.offset, source.seek
