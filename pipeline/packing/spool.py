"""Decode compressed archives in the one order in which they can be read, and keep the clips until their shards come.

Which clip goes into which shard does not depend on where it lies, so the clips of a compressed archive are needed in
another order than they are read in. They wait, decoded, under `.avcorr/work/spool/`; together they are as large as
their shards will be. Each is there wholly or not at all, so a kill costs only the clips in flight.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from avcorr.shards.ahead import map_ahead
from avcorr.shards.format.clip import Clip, ClipMetadata
from avcorr.shards.index.layout import WORK, write_atomically

from ..decoding.decoder import Decoder, stopped_on_error
from ..errors import MediaError, OutputError
from ..sources.archive import ArchiveReader, MemoryFile
from ..sources.source import Source
from .attempt import Attempt, Row, attempt, ledger_row

logger = logging.getLogger(__name__)

_IN_FLIGHT_BYTES = 512 << 20
"""Members that wait for a free worker may take this much memory, and one more member."""


class Spool:
    """Attempts that wait on disk, by key."""

    def __init__(self, root: Path) -> None:
        self._folder = root / WORK / "spool"

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()[:2] / key

    def has(self, source: Source, attempts: int) -> bool:
        """Return whether an attempt waits; a failed one does not count where another try was asked for."""
        return self._path(source.key).exists() and (attempts == 1 or self.take(source.key)[0] is not None)

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
        line, _, payload = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        if hashlib.sha256(payload).hexdigest() != head["sha256"]:
            path.unlink()
            raise OutputError(f"{path} reads back other bytes than were written; check the disk and run again")
        if not head["sizes"]:
            return None, head["row"]
        first, second, _ = head["sizes"]
        metadata = ClipMetadata.from_json(payload[:first])
        return Clip(metadata, payload[first : first + second], payload[first + second :]), head["row"]

    def drop(self, keys: Iterable[str]) -> None:
        """Forget attempts that are in a published shard."""
        if self._folder.exists():
            for key in keys:
                self._path(key).unlink(missing_ok=True)


def fill_spool(spool: Spool, sources: Sequence[tuple[Source, int]], decoder: Decoder, workers: int) -> None:
    """Decode sources that lie in compressed archives, reading each archive once.

    Args:
        spool: takes the attempts; those that it has are not made again.
        sources: each with the number of its attempt.
        decoder: makes the clips.
        workers: how many are made at once.
    """
    waiting = sorted((pair for pair in sources if not spool.has(*pair)), key=_position)
    if not waiting:
        return
    reader = ArchiveReader()
    least = -(-_IN_FLIGHT_BYTES // (2 * workers))  # so that no more than two members a worker wait

    def members(progress: "tqdm[None]") -> Iterator[tuple[Source, int, MemoryFile]]:
        for source, attempts in waiting:
            assert source.member is not None
            progress.update()
            try:
                yield source, attempts, reader.load(source.path, source.member)
            except MediaError as error:
                spool.put(None, ledger_row(source, "failed", error.code, str(error), attempts))

    def work(item: tuple[Source, int, MemoryFile]) -> None:
        source, attempts, file = item
        spool.put(*attempt(source, decoder, attempts, file))

    def cost(item: tuple[Source, int, MemoryFile]) -> int:
        return max(least, item[2].size)

    hidden = None if logger.isEnabledFor(logging.INFO) else True  # None: where stderr is no terminal
    try:
        with (
            tqdm(total=len(waiting), unit="clip", disable=hidden, desc="archives") as progress,
            ThreadPoolExecutor(workers, thread_name_prefix="decode") as executor,
            stopped_on_error(decoder),
            closing(map_ahead(executor, work, members(progress), _IN_FLIGHT_BYTES, cost)) as done,
        ):
            for _ in done:
                pass
    finally:
        reader.close()


def is_streamed(source: Source) -> bool:
    """Return whether a source can only be reached by reading an archive from its beginning."""
    return source.member is not None and source.member.compressed and source.problem is None


def _position(pair: tuple[Source, int]) -> tuple[str, int, float]:
    source = pair[0]
    assert source.member is not None
    return source.path, source.member.offset, source.seek
