"""Open a file that someone else has named: nothing that would block for ever or never end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, a device or a folder is refused, not waited for.

    Raises:
        OSError: when it cannot be opened, with EINVAL and "no regular file" when it is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(descriptor, "rb")
