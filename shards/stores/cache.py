"""The files of a cache on disk: named when whole, bounded in size, shared by processes through one lock."""

import fcntl
import logging
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from avcorr.files import open_file, read_file

logger = logging.getLogger(__name__)

_FRESH_SECONDS = 60
"""How far the time of a file's last use may lag behind."""
_STALE_SECONDS = 600
"""A temporary file that is older was left by a process that was killed: to write one takes milliseconds."""
_AFTER_EVICTION = 0.9
"""Share of the limit that an eviction leaves, so that not every file calls for one."""


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder for files of known size by key; the least recently used give way. Many processes may share it.

    Args:
        folder: made when the first file is kept. Only this program may write there.
        limit: bytes of all files together.
    """

    folder: Path
    limit: int

    def read(self, key: str, start: int, stop: int) -> bytes | None:
        """Return the bytes [start, stop) of a file, None where it is not there."""
        try:
            opened = open_file(self._path(key))
        except OSError:
            return None
        with opened:
            file = opened.fileno()
            if time.time() - os.fstat(file).st_mtime > _FRESH_SECONDS:
                os.utime(file)
            data = os.pread(file, stop - start, start)
            return data if len(data) == stop - start else None

    def has(self, key: str) -> bool:
        """Return whether a file is there."""
        return self._path(key).exists()

    def keep(self, key: str, data: bytes) -> None:
        """Keep a file; where the disk is full or not writable, it is not kept, and that is logged."""
        if len(data) > self.limit * _AFTER_EVICTION or self.has(key):
            return
        temporary = self.folder / "tmp" / f"{key[:8]}-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fdatasync(file.fileno())
                self._publish(temporary, key, len(data))
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the cache in %s keeps nothing more for now: %s", self.folder, error.strerror)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _publish(self, temporary: Path, key: str, size: int) -> None:
        """Give a file its name, after others gave way if need be."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # given back with the file, also by a kill
            if self.has(key):
                return
            used = self._used()
            if used + size > self.limit:
                used = self._evict(int(self.limit * _AFTER_EVICTION) - size)
            (self.folder / "used").write_text(str(used + size))  # before the rename: a kill makes it too much, not less
            self._path(key).parent.mkdir(exist_ok=True)
            temporary.replace(self._path(key))

    def _used(self) -> int:
        """Return the bytes of all files, counted again where the note is missing or cannot be read."""
        try:
            return int(read_file(self.folder / "used", 100))
        except (OSError, ValueError):
            return self._evict(self.limit)

    def _evict(self, target: int) -> int:
        """Delete the least recently used until no more than `target` bytes are left; return how many are."""
        files: list[tuple[float, int, str]] = []
        used = 0
        for folder in os.scandir(self.folder):
            for file in os.scandir(folder.path) if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # another process has just given a temporary file its name
                    status = file.stat()
                    if folder.name != "tmp":
                        files.append((status.st_mtime, status.st_size, file.path))
                        used += status.st_size
                    elif time.time() - status.st_mtime > _STALE_SECONDS:
                        os.unlink(file.path)
        for _, size, path in sorted(files):
            if used <= target:
                break
            os.unlink(path)
            used -= size
        return used
