"""USTAR archives, byte for byte: members with no clock, owner or mode in them, and an end that can be checked.

A tar ends with two blocks of zeros. GNU tar, Python's tarfile and every loader built on it accept an archive that
lacks them, and with it one that was cut at a member's edge; nothing here does.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import ShardFormatError, ShardTruncatedError

BLOCK = 512
RECORD = 20 * BLOCK
MAX_NAME_BYTES = 99


def encode_member(name: str, data: bytes) -> bytes:
    """Return header, content and padding of one regular file; equal input gives equal bytes.

    Raises:
        ShardFormatError: when the name is longer than 99 bytes, which would need an extension some readers lack.
    """
    return encode_header(name, len(data)) + data + bytes(-len(data) % BLOCK)


def encode_header(name: str, size: int) -> bytes:
    """Return the one header that a member of this name and size may have. Raises as `encode_member` does."""
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ShardFormatError(f"member name {name!r} is longer than {MAX_NAME_BYTES} bytes")
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, 0, 0o444
    return info.tobuf(tarfile.USTAR_FORMAT, encoding="utf-8")


def closing(size: int) -> bytes:
    """Return the zeros that end an archive of `size` bytes: two blocks at least, to a full record of 10,240."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % RECORD)


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's content lies in its archive, in bytes."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Return where the next member's header begins: the content's end, padded to a block."""
        return self.offset + self.size + -self.size % BLOCK


def locate_members(data: bytes, position: int = 0) -> tuple[Member, ...]:
    """Return where the members of a piece of an archive lie, without reading their contents.

    Args:
        data: whole members: headers, contents and padding.
        position: where the piece begins in its archive.

    Raises:
        ShardFormatError: on a damaged header.
    """
    members: list[Member] = []
    end = position
    while end < position + len(data):
        start = end - position
        info = _parse_header(data[start : start + BLOCK], end)
        members.append(Member(info.name, end + BLOCK, info.size))
        end = members[-1].end
    return tuple(members)


def iter_members(file: BinaryIO) -> Iterator[tuple[Member, bytes]]:
    """Yield each member with its content, strictly: nothing but USTAR regular files, then the closing zeros.

    Raises:
        ShardTruncatedError: when the file ends inside a member or before the two closing blocks.
        ShardFormatError: on a damaged header, a member that is no regular file, or bytes after the end.
    """
    position = 0
    while True:
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            raise ShardTruncatedError(f"ends at byte {position + len(header)} without the two closing blocks")
        if not any(header):
            break
        info = _parse_header(header, position)
        data = file.read(info.size)
        padding = -info.size % BLOCK
        if len(data) < info.size or len(file.read(padding)) < padding:
            raise ShardTruncatedError(f"ends inside member {info.name!r}, which begins at byte {position}")
        yield Member(info.name, position + BLOCK, info.size), data
        position += BLOCK + info.size + padding
    _check_end(file.read(), position)


def _parse_header(header: bytes, position: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise ShardFormatError(f"damaged tar header at byte {position} ({error})") from error
    if info.type != tarfile.REGTYPE:
        raise ShardFormatError(f"member {info.name!r} at byte {position} is no regular file")
    return info


def _check_end(rest: bytes, position: int) -> None:
    if len(rest) < BLOCK:
        raise ShardTruncatedError(f"has only one of the two closing blocks, at byte {position}")
    if any(rest):
        raise ShardFormatError(f"has data after the end of the archive at byte {position}")
    if (position + BLOCK + len(rest)) % RECORD:
        raise ShardTruncatedError(f"is {position + BLOCK + len(rest)} bytes long, which is no multiple of {RECORD}")
