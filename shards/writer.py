"""Write one shard so that a kill at any byte loses at most the clip in flight, and nothing half-made is ever seen.

The shard grows under `.avcorr/work/` beside a journal with one checksummed line an input. Publication: closing
blocks, fsync, the record under `work/`, the shard's rename, the record's rename. A shard under its final name is
whole; a record under its final name says so.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from .clip import Clip
from .errors import ShardFormatError
from .index import HIDDEN, IndexedClip, ShardName, ShardRecord, read_record, record_path, write_json
from .tar import closing, encode_member


class ShardWriter:
    """Append the planned inputs of one shard in order, each as a clip or as a failure, then publish.

    Args:
        root: the dataset's folder.
        name: which shard.
        keys: the keys of all inputs planned for the shard, in order. Work that an interrupted run left behind for
            the same keys is taken up again: `done` says how many inputs need not be decoded any more.
    """

    def __init__(self, root: Path, name: ShardName, keys: Sequence[str]) -> None:
        self._root, self._name, self._keys = root, name, tuple(keys)
        work = root / HIDDEN / "work"
        work.mkdir(parents=True, exist_ok=True)
        self._part = work / f"{name.stem}.tar"
        self._journal_path = work / f"{name.stem}.jsonl"
        self._clips: list[IndexedClip] = []
        self._ledger: list[Mapping[str, Any]] = []
        self._digest = hashlib.sha256()
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
        indexed = IndexedClip(
            metadata.key, metadata.video, metadata.label, metadata.duration, metadata.frame_count, self._tar.tell()
        )
        self._tar.write(data)
        self._tar.flush()
        self._digest.update(data)
        self._record(indexed, hashlib.sha256(data).hexdigest(), len(data), row)

    def fail(self, row: Mapping[str, Any]) -> None:
        """Note that the next planned input gave no clip; `row` says why."""
        self._record(None, "", 0, row)

    def publish(self) -> ShardRecord:
        """Close the archive, check it on disk and give it its final name.

        Raises:
            ShardFormatError: when inputs are missing, or the bytes on disk are not those that were written.
        """
        if self.done != len(self._keys):
            raise ShardFormatError(f"shard {self._name.path} has {self.done} of its {len(self._keys)} planned inputs")
        end = closing(self._tar.tell())
        self._tar.write(end)
        self._digest.update(end)
        self._tar.flush()
        os.fsync(self._tar.fileno())
        record = ShardRecord(
            self._name.path, self._name.split, self._tar.tell(), self._digest.hexdigest(),
            tuple(self._clips), tuple(self._ledger),
        )  # fmt: skip
        self._tar.seek(0)
        if hashlib.file_digest(self._tar, "sha256").hexdigest() != record.sha256:
            raise ShardFormatError(f"{self._part} reads back other bytes than were written; check the disk")
        self.close()
        write_json(_pending_record(self._root, self._name), record.to_json())
        finish_publication(self._root, self._name)
        return record

    def close(self) -> None:
        """Close the files; what was added stays for a later run."""
        self._tar.close()
        self._journal.close()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _record(self, clip: IndexedClip | None, digest: str, size: int, row: Mapping[str, Any]) -> None:
        entry = {"clip": asdict(clip) if clip else None, "sha256": digest, "size": size, "row": row}
        payload = json.dumps(entry, ensure_ascii=False).encode()
        self._journal.write(b"%08x %s\n" % (zlib.crc32(payload), payload))
        self._journal.flush()
        self._remember(clip, row)

    def _remember(self, clip: IndexedClip | None, row: Mapping[str, Any]) -> None:
        self._ledger.append(row)
        if clip is not None:
            self._clips.append(clip)

    def _replay(self) -> int:
        """Take up what the journal and the tar agree on; return how many bytes of the journal that was."""
        kept = end = 0
        lines = self._journal_path.read_bytes().splitlines(keepends=True) if self._journal_path.exists() else []
        for key, line in zip(self._keys, lines, strict=False):
            entry = _parse_line(line)
            if entry is None or entry["row"].get("key") != key:
                break
            data = self._tar.read(entry["size"])
            if entry["clip"] is not None:
                if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                    break
                self._digest.update(data)
                end += len(data)
            self._remember(IndexedClip(**entry["clip"]) if entry["clip"] else None, entry["row"])
            kept += len(line)
        self._tar.seek(end)
        self._tar.truncate()
        return kept


def finish_publication(root: Path, name: ShardName) -> bool:
    """Finish a publication that was cut off after its record was written; return whether the shard is complete.

    Both renames are repeated until they hold, so this is safe to call at any time and any number of times.
    """
    pending, final = _pending_record(root, name), record_path(root, name)
    if pending.exists():
        record = read_record(pending)
        part = root / HIDDEN / "work" / f"{name.stem}.tar"
        if part.exists():
            target = root / name.path
            if record.clips:
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
                _sync_folder(target.parent)
            else:
                part.unlink()
        final.parent.mkdir(parents=True, exist_ok=True)
        pending.replace(final)
        _sync_folder(final.parent)
    if final.exists():
        (root / HIDDEN / "work" / f"{name.stem}.jsonl").unlink(missing_ok=True)
        return True
    return False


def _pending_record(root: Path, name: ShardName) -> Path:
    return root / HIDDEN / "work" / f"{name.stem}.record.json"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse_line(line: bytes) -> dict[str, Any] | None:
    checksum, _, payload = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(payload):
        return None
    entry: dict[str, Any] = json.loads(payload)
    return entry
