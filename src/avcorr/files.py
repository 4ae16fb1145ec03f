"""Read and write single files safely: only regular ones, only so large, and each there wholly or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_NO_SYNC = {errno.EINVAL, errno.EACCES, errno.EBADF, errno.ENOTSUP}
"""What file systems say that cannot sync a folder: CIFS, some of FUSE."""


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, a device or a folder is refused, not waited for.

    Raises:
        OSError: when it cannot be opened, with EINVAL and "is no regular file" when it is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: str | Path, most: int) -> bytes:
    """Return the bytes of a regular file, none of which is read where there are too many.

    Args:
        most: bytes that a sound file of its kind has at most.

    Raises:
        OSError: when it cannot be read or is no regular file; with EFBIG when it has more bytes.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(most + 1) if size <= most else b""  # one that grows is read no further
    if max(size, len(data)) > most:
        text = f"has {max(size, len(data))} bytes; a file of its kind has at most {most}"
        raise OSError(errno.EFBIG, text, str(path))
    return data


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that takes the place of `path` once the block has ended without an error.

    Readers see the old file or the new one. The temporary file lies beside, has a name of its own, `.NAME.*.tmp`, and
    is removed where the block fails; `remove_left` removes those of processes that were killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is there wholly or not at all."""
    with replacing(path) as file:
        file.write(data)


def is_temporary(name: str) -> bool:
    """Return whether a file's name is one that `replacing` gives while it writes."""
    return name.startswith(".") and name.endswith(".tmp")


def remove_left(folder: Path) -> None:
    """Remove what killed processes left half written in a folder. For the one process that may write there."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as the files behind them, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
