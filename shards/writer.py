"""Write one shard so that a kill at any byte loses at most the clip in flight, and nothing half-made is ever seen.

The shard grows under `.avcorr/work/` beside a journal with one checksummed line an input. Publication: closing
blocks, fsync, read back, the table and the record under `work/`, then the renames: shard, table, record. A shard
under its final name is whole; a record under its final name says so.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from avcorr.files import read_file, sync_folder, write_atomically
from avcorr.json_file import parse_json

from .checks.archive_check import scan_shard
from .errors import ShardError, ShardFormatError
from .format.clip import Clip, ClipMetadata
from .format.tar import closing, encode_member, locate_members
from .index.clip_table import TableWriter
from .index.layout import MANIFEST, WORK, ShardName, write_json
from .index.record import MOST_RECORD, Count, Row, ShardRecord, read_record


class ShardWriter:
    """Append the planned inputs of one shard in order, each as a clip or as a failure, then publish.

    Args:
        root: the dataset's folder.
        name: which shard.
        keys: the keys of all inputs planned for the shard, in order. Work that an interrupted run left behind for
            the same keys is taken up again: `done` says how many inputs need not be decoded any more.
        again: whether an input is to be tried again, by its row; it is taken up as far as the first of these.
    """

    def __init__(
        self,
        root: Path,
        name: ShardName,
        keys: Sequence[str],
        again: Callable[[Mapping[str, Any]], bool] = lambda row: False,
    ) -> None:
        self._root, self._name, self._keys, self._again = root, name, tuple(keys), again
        (root / WORK).mkdir(parents=True, exist_ok=True)
        self._part, self._journal_path = _work(root, name, ".tar"), _work(root, name, ".jsonl")
        self._ledger: list[Mapping[str, Any]] = []
        self._table = TableWriter()
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._tar = self._part.open("r+b" if self._part.exists() else "w+b")
        kept = self._replay()
        self._journal = self._journal_path.open("ab")
        self._journal.truncate(kept)

    @property
    def done(self) -> int:
        """Number of inputs that are in the shard or in its failures already."""
        return len(self._ledger)

    def add(self, clip: Clip, row: Mapping[str, Any]) -> None:
        """Append the next planned input as a clip; `row` is its row of the ledger."""
        metadata = clip.metadata
        data = b"".join(encode_member(name, content) for name, content in clip.members())
        self._table.add(metadata, locate_members(data, self._tar.tell()))
        self._tar.write(data)
        self._tar.flush()
        self._update(data)
        self._record(hashlib.sha256(data).hexdigest(), len(data), row)

    def fail(self, row: Mapping[str, Any]) -> None:
        """Note that the next planned input gave no clip; `row` says why."""
        self._record("", 0, row)

    def publish(self, accepts: Callable[[ShardRecord], bool] = lambda record: True) -> ShardRecord:
        """Close the archive, check it on disk and give it its final name.

        Args:
            accepts: asked before anything gets its final name; a shard that is refused is deleted.

        Raises:
            ShardFormatError: when inputs are missing, or the bytes on disk are not those that were written.
        """
        if self.done != len(self._keys):
            raise ShardFormatError(f"shard {self._name.path} has {self.done} of its {len(self._keys)} planned inputs")
        end = closing(self._tar.tell())
        self._tar.write(end)
        self._update(end)
        self._tar.flush()
        os.fsync(self._tar.fileno())
        size, sha256 = self._tar.tell(), self._sha256.hexdigest()
        self._tar.seek(0)
        if hashlib.file_digest(self._tar, "sha256").hexdigest() != sha256:
            raise ShardFormatError(f"{self._part} reads back other bytes than were written; check the disk")
        self.close()
        return publish_record(
            self._root, self._name, self._table, self._ledger, size=size, sha256=sha256, md5=self._md5.hexdigest(),
            accepts=accepts,
        )  # fmt: skip

    def close(self) -> None:
        """Close the files; what was added stays for a later run."""
        self._tar.close()
        self._journal.close()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _update(self, data: bytes) -> None:
        self._sha256.update(data)
        self._md5.update(data)

    def _record(self, digest: str, size: int, row: Mapping[str, Any]) -> None:
        entry = {"sha256": digest, "size": size, "row": row}
        payload = json.dumps(entry, ensure_ascii=False).encode()
        self._journal.write(b"%08x %s\n" % (zlib.crc32(payload), payload))
        self._journal.flush()
        self._ledger.append(row)

    def _replay(self) -> int:
        """Take up what the journal and the tar agree on; return how many bytes of the journal that was."""
        kept = end = 0
        there = os.fstat(self._tar.fileno()).st_size
        for key, (line, entry) in zip(self._keys, _journal(self._journal_path), strict=False):
            if entry.row["key"] != key or self._again(entry.row) or end + entry.size > there:
                break
            if entry.sha256:
                data = self._tar.read(entry.size)
                if hashlib.sha256(data).hexdigest() != entry.sha256 or not self._take_up(data, end):
                    break
                self._update(data)
                end += len(data)
            self._ledger.append(entry.row)
            kept += len(line)
        self._tar.seek(end)
        self._tar.truncate()
        return kept

    def _take_up(self, data: bytes, position: int) -> bool:
        """Note where the members of a clip lie; return False when another version of the program wrote it."""
        try:
            members = locate_members(data, position)
            start = members[0].offset - position
            self._table.add(ClipMetadata.from_json(data[start : start + members[0].size]), members)
        except ShardError:
            return False
        return True


def publish_record(
    root: Path,
    name: ShardName,
    table: TableWriter,
    ledger: Sequence[Mapping[str, Any]],
    *,
    size: int,
    sha256: str,
    md5: str,
    accepts: Callable[[ShardRecord], bool] = lambda record: True,
) -> ShardRecord:
    """Write table and record of a shard that is whole, under `work/` or its final name, and finish its publication.

    Args:
        root: the dataset's folder.
        name: which shard.
        table: the rows of its clips.
        ledger: the rows of its inputs.
        size, sha256, md5: of the tar.
        accepts: as `ShardWriter.publish` takes it.

    Raises:
        ValueError, OverflowError: when the table cannot hold what a clip's metadata say.
    """
    clips, frames, seconds = table.counts()
    data, digest = table.encode() if clips else (b"", "")
    record = ShardRecord(
        path=name.path, split=name.split, size=size, sha256=sha256, md5=md5, clips=clips, frames=frames,
        seconds=seconds, table_sha256=hashlib.sha256(data).hexdigest() if clips else "", clips_digest=digest,
        ledger=tuple(ledger),
    )  # fmt: skip
    if not accepts(record):
        discard_work(root, name)
        return record
    if clips:
        write_atomically(_work(root, name, ".parquet"), data)
    write_json(_work(root, name, ".record.json"), record.to_json())
    finish_publication(root, name)
    return record


def remake_table(root: Path, name: ShardName) -> None:
    """Make the table of a sound shard again from the shard; to be followed by `finish_dataset`. Raises ShardError."""
    record, scan = read_record(root / name.record), scan_shard(root, name.path)
    publish_record(root, name, scan.table, record.ledger, size=scan.size, sha256=scan.sha256, md5=scan.md5)


def discard_work(root: Path, name: ShardName) -> None:
    """Delete what an attempt at a shard has written under `work/`."""
    for suffix in (".tar", ".jsonl"):
        _work(root, name, suffix).unlink(missing_ok=True)


def finish_publication(root: Path, name: ShardName) -> bool:
    """Finish a publication that was cut off after its record was written; return whether the shard is complete.

    All renames are repeated until they hold, so this is safe to call at any time and any number of times. What others
    keep of the dataset as a whole is removed first: it would be out of date.
    """
    pending, final = _work(root, name, ".record.json"), root / name.record
    if pending.exists():
        record = read_record(pending)
        target, part = root / name.path, _work(root, name, ".tar")
        (root / MANIFEST).unlink(missing_ok=True)
        target.with_name(f"{target.name}.idx").unlink(missing_ok=True)
        if part.exists():
            if record.clips:
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
                sync_folder(target.parent)
            else:
                part.unlink()
                target.unlink(missing_ok=True)
        final.parent.mkdir(parents=True, exist_ok=True)
        _publish_table(root, name, record)
        pending.replace(final)
        sync_folder(final.parent)
    if final.exists():
        discard_work(root, name)
        return True
    return False


def _publish_table(root: Path, name: ShardName, record: ShardRecord) -> None:
    """Give the table its final name; make it again where it got lost."""
    pending, final = _work(root, name, ".parquet"), root / name.table
    if pending.exists():
        final.parent.mkdir(parents=True, exist_ok=True)
        pending.replace(final)
        sync_folder(final.parent)
    elif record.clips and not final.exists():
        write_atomically(final, scan_shard(root, name.path).table.encode()[0])


def _work(root: Path, name: ShardName, suffix: str) -> Path:
    """Return the path of a file of a shard in the making."""
    return root / WORK / f"{name.stem}{suffix}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the journal: what became of one input, and the clip's checksum and bytes where one was packed."""

    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    size: Count
    row: Row


def journal_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the ledger's rows of a begun shard, of which the last may have been cut by a kill."""
    return (entry.row for _, entry in _journal(path))


def _journal(path: Path) -> Iterator[tuple[bytes, _Entry]]:
    """Yield the lines of a journal as far as they are whole, if it is there."""
    for line in read_file(path, MOST_RECORD).splitlines(keepends=True) if path.exists() else ():
        checksum, _, payload = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(payload):
            return
        try:
            entry = parse_json(payload, _schema())
        except ValueError:
            return
        yield line, entry


@cache
def _schema() -> TypeAdapter[_Entry]:
    return TypeAdapter(_Entry)
