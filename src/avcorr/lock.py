"""Let one process at a time write into a folder.

The lock is the kernel's (flock) on FOLDER/.avcorr/lock, which says who holds it. It ends with its process, however that
ends, so nothing has to be tidied up after a kill: the next process takes it over at once.

It holds between the processes of one machine on every disk, and between machines on NFS (version 4, or 3 with lockd),
Lustre with `-o flock`, CephFS and GPFS. It does not hold between machines on NFS mounted with `nolock` or
`local_lock=all`, or on most object stores that are mounted as folders. Where a file system has no locks at all, that is
said, and the work goes on. A bucket has none: it is the work folder that is locked.
"""

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError
from .files import remove_left, writing_to

_FILE = Path(".avcorr", "lock")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
_WORDS = 300
"""Bytes of the file that are read."""
_held: set[int] = set()

logger = logging.getLogger(__name__)


def _forget() -> None:
    """Close the locks that a forked child got of its parent, so that a child that lives on does not hold them."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)


@contextmanager
def locked(
    folder: Path, doing: str, way_out: str, *, wait: bool = False, then: str = "run the same command again"
) -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is not there, and explain a disk that takes nothing.

    Args:
        folder: what is written into. What killed processes left half written at its top is removed.
        doing: what is done to it, as in "is being sharded".
        way_out: what the second process can do other than wait.
        wait: wait for the other process instead of raising.
        then: as for `writing_to`.

    Raises:
        OutputError: where another process holds the lock, or nothing can be written there.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / _FILE
    with writing_to(folder, then):
        descriptor = _acquire(path, folder, way_out, wait)
        _held.add(descriptor)
        try:
            now = time.strftime("%H:%M (%Y-%m-%d)")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{doing} by pid {os.getpid()} on {os.uname().nodename} since {now}".encode(), 0)
            remove_left(folder)
            yield
        finally:
            _held.discard(descriptor)
            with suppress(OSError):
                path.unlink()  # still locked, so it is ours
                path.parent.rmdir()
                for each in made:  # nothing was written
                    each.rmdir()
            os.close(descriptor)


def _acquire(path: Path, folder: Path, way_out: str, wait: bool) -> int:
    """Return the descriptor of the lock's file, locked."""
    mode = fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, _FLAGS, 0o666)
        except FileNotFoundError:
            continue  # the one before has just removed the folder
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR):
                raise
            raise _no_lock(path) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _no_lock(path)
        try:
            fcntl.flock(descriptor, mode)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass  # the one before has removed the file that this process waited for
        except BlockingIOError as error:
            words = os.pread(descriptor, _WORDS, 0).decode(errors="replace") or "written to by another process"
            text = f"{folder} is being {''.join(filter(str.isprintable, words))}"
            if not wait:
                os.close(descriptor)
                raise OutputError(f"{text}; wait for it or {way_out}") from error
            logger.info("%s; waiting for it", text)
            mode = fcntl.LOCK_EX
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
            logger.warning("the disk of %s has no locks (%s): let no other process write there", folder, error.strerror)
            return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _no_lock(path: Path) -> OutputError:
    return OutputError(f"{path} is a link, a folder or the like and no lock of this program; delete it")
