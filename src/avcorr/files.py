"""Read and write single files safely: only regular ones, only so large, and each there wholly or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from .errors import Error, OutputError

_DISK = {
    errno.ENOSPC: ("no space is left on the disk of {}", "free some space, then {}"),
    errno.EDQUOT: ("the quota of the disk of {} is used up", "free some space, then {}"),
    errno.EFBIG: ("{} may not grow so large", "raise the limit (ulimit -f) or choose another disk, then {}"),
    errno.EROFS: ("{} cannot be written to: the disk is read-only", "choose another, or make it writable, then {}"),
    errno.EACCES: ("{} cannot be read or written: permission denied", "choose another, or give the right, then {}"),
    errno.EPERM: ("{} cannot be read or written: not permitted", "choose another, or give the right, then {}"),
    errno.ENOTDIR: ("{} is no folder", "choose another, then {}"),
    errno.EEXIST: ("{} is no folder", "choose another, then {}"),
    errno.EMFILE: ("{} cannot be opened: too many files are open", "raise the limit (ulimit -n), then {}"),
    errno.ENFILE: ("{} cannot be opened: the machine has too many open files", "close other programs, then {}"),
    errno.ESTALE: ("{} is no longer there for the file server", "mount it again, then {}"),
    errno.EIO: ("{} cannot be read or written: the disk fails", "see to the disk, then {}"),
}
"""What a disk says that does not take what is written, in words, and the way out."""
_NO_SYNC = {errno.EINVAL, errno.EACCES, errno.EBADF, errno.ENOTSUP}
"""What file systems say that cannot sync a folder: CIFS, some of FUSE."""


def local_path(place: str | Path) -> Path:
    """Return a path of this machine. Raises Error for an address, of which `Path` alone would make a folder `s3:`."""
    scheme, separator, _ = str(place).partition(":/")
    if separator and len(scheme) > 1 and scheme.isalnum():
        raise Error(f"{place}: wants a folder or file of this machine")
    return Path(place)


def open_file(path: str | Path) -> BufferedReader:
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


def reason(error: OSError) -> str:
    """Return what an error says of its file, in words that follow the path."""
    return str(error.strerror) if _is_sentence(error) else f"cannot be read ({error.strerror or error})"


def _is_sentence(error: OSError) -> bool:
    """Return whether it is of `open_file` or `read_file`, which say by themselves what is wrong."""
    return bool(error.strerror) and error.strerror != os.strerror(error.errno or 0)


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
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)  # a write does not say of which file
        raise
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file that is there wholly or not at all."""
    with replacing(path) as file:
        file.write(data)


def is_temporary(name: str) -> bool:
    """Return whether a file's name is one that `replacing` gives while it writes."""
    return name.startswith(".") and name.endswith(".tmp")


def remove_left(folder: Path) -> None:
    """Remove what killed processes left half written in a folder. For the one process that may write there."""
    for path in folder.glob(f".*.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):
            path.unlink()


@contextmanager
def writing_to(folder: Path, then: str = "run the same command again") -> Iterator[None]:
    """Tell in one line which file a disk did not take, why, and the way out.

    Args:
        folder: where the block writes; named where an error names no file.
        then: what to do when the way is free.

    Raises:
        OutputError: in place of the OSError of a disk that is full, read-only, gone or the like.
    """
    try:
        yield
    except OSError as error:
        if _is_sentence(error) or error.errno not in _DISK:
            raise
        (what, way_out), path = _DISK[error.errno], os.path.abspath(error.filename or folder)
        raise OutputError(f"{what.format(path)}; {way_out.format(then)}") from error


def require_writable(folder: Path, then: str = "run the same command again") -> None:
    """Raise OutputError where nothing can be written into a folder, or where it is to be made: before the work."""
    import tempfile

    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    with writing_to(folder, then):
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(b"1")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(place)) from error


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
