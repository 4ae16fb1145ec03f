"""The headers of foreign tar archives: USTAR, GNU and PAX. For shards, which are stricter, see shards/tar.py.

Python's tarfile takes a damaged header for the end of the archive and keeps every header in memory; so it is used
for single blocks only.
"""

import re
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from ..errors import ArchiveError

BLOCK = 512
_MAX_EXTENSION_BYTES = 1 << 20
_LONG_NAME, _EXTENDED = b"L", b"x"
_RECORD = re.compile(rb"(\d+) ([^=]+)=")


class Stream(Protocol):
    """Bytes in their order."""

    position: int

    def read(self, size: int) -> bytes:
        """Return the next bytes: fewer than `size` only at the end."""

    def skip_to(self, position: int) -> None:
        """Go forward to a position. Raises ArchiveError when the end comes first."""


@dataclass(frozen=True, slots=True)
class FileHeader:
    """A regular file in an archive."""

    name: str
    size: int


def parse_headers(stream: Stream) -> Generator[FileHeader, None, bool]:
    """Yield each regular file with the stream at its first byte; return whether a closing block was found.

    The caller may read or skip the content; whatever is left of it is skipped.

    Raises:
        ArchiveError: at the first header that is damaged.
    """
    name, size = "", -1
    while block := stream.read(BLOCK):
        begin = stream.position - len(block)
        if len(block) == BLOCK and not any(block):
            return True
        info = _parse(block, begin)
        if size >= 0:
            info.size = size
        content = stream.position
        end = content + -(-info.size // BLOCK) * BLOCK
        if info.type in (_LONG_NAME, _EXTENDED):
            new_name, new_size = _extension(info.type, _payload(stream, info.size, begin))
            name, size = new_name or name, new_size if new_size >= 0 else size
        else:
            if info.isreg() and not info.issparse():
                yield FileHeader(name or info.name, info.size)
            elif info.type in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
                end = content
            name, size = "", -1
        stream.skip_to(end)
    return False


def _parse(block: bytes, begin: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise ArchiveError(f"damaged tar header at byte {begin} ({error})") from error
    if info.size < 0:
        raise ArchiveError(f"damaged tar header at byte {begin} (negative size)")
    return info


def _payload(stream: Stream, size: int, begin: int) -> bytes:
    if size > _MAX_EXTENSION_BYTES:
        raise ArchiveError(f"damaged tar header at byte {begin} (an extension of {size} bytes)")
    data = stream.read(size)
    if len(data) < size:
        raise ArchiveError(f"ends at byte {stream.position}, inside a header")
    return data


def _extension(kind: bytes, data: bytes) -> tuple[str, int]:
    """Return the name and the size that a GNU or PAX header gives to the next member; "" and -1 where it does not."""
    if kind == _LONG_NAME:
        return data.rstrip(b"\0").decode("utf-8", "surrogateescape"), -1
    name, size, position = "", -1, 0
    while match := _RECORD.match(data, position):
        length = int(match[1])
        value = data[match.end() : position + length - 1]
        if match[2] == b"path":
            name = value.decode("utf-8", "surrogateescape")
        elif match[2] == b"size" and value.isdigit():
            size = int(value)
        if length < match.end() - position:
            break
        position += length
    return name, size
