"""What lies where a file of ours should be."""

import os
from pathlib import Path


def put(path: Path, what: bytes | str) -> None:
    """Put a `pipe`, a link to the `zero` device, or a file of these bytes in the place of whatever is there."""
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(what if isinstance(what, bytes) else what.encode("latin-1"))
