"""USTAR archives, byte for byte: members with no clock, owner or mode in them, and an end that can be checked.

A tar ends with two blocks of zeros. GNU tar, Python's tarfile and every loader built on it accept an archive that
lacks them, and with it one that was cut at a member's edge; nothing here does.
"""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import ShardError, ShardFormatError, ShardTruncatedError

BLOCK = 512
RECORD = 20 * BLOCK
MAX_NAME_BYTES = 99
_PIECE = 1 << 20
_FIELDS = ("mode", "uid", "gid", "mtime", "type", "linkname", "uname", "gname", "devmajor", "devminor")
"""What a header says beside name and size."""


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


class Content:
    """The bytes of a member, read forward once, as far as they are wanted."""

    def __init__(self, file: BinaryIO, name: str, position: int, size: int) -> None:
        self._file, self._name, self._position, self._left = file, name, position, size

    def read(self, count: int | None = None) -> bytes:
        """Return the next bytes, all that are left without a count; fewer only at the end of the member.

        Raises:
            ShardTruncatedError: where the archive ends before.
        """
        wanted = self._left if count is None else min(count, self._left)
        data = self._file.read(wanted)
        if len(data) < wanted:
            text = f"ends inside member {self._name!r}, which begins at byte {self._position}: it was cut"
            raise ShardTruncatedError(text)
        self._left -= wanted
        return data

    def skip(self) -> None:
        """Pass over what is left. Raises as `read`."""
        while self._left:
            self.read(_PIECE)


def iter_members(
    file: BinaryIO, fault: Callable[[str, ShardError], None] | None = None, resume: Sequence[int] = ()
) -> Iterator[tuple[Member, Content]]:
    """Yield each member with its content: nothing but USTAR regular files, then the closing zeros.

    Memory holds what the caller reads of a content, whatever size a header claims.

    Args:
        file: the archive from its first byte.
        fault: told the code (of `verify`) and the error of everything that is wrong, also where a header or padding is
            not byte for byte what `encode_member` writes; the walk goes on where it can. None: the first is raised.
        resume: bytes at which members begin, to go on at after a damaged header.

    Raises:
        ShardTruncatedError: without `fault`, when the file ends inside a member or before the two closing blocks.
        ShardFormatError: without `fault`, on a damaged header, on no regular file, or on bytes after the end.
    """
    tell, position = fault or _raise, 0
    while True:
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            where = position + len(header)
            tell("end", ShardTruncatedError(f"ends at byte {where} without the two closing blocks: it was cut"))
            return
        if not any(header):
            break
        try:
            info = _parse_header(header, position)
        except ShardFormatError as error:
            tell("header", error)
            following = min((offset for offset in resume if offset > position), default=position)
            if following == position:
                return
            with suppress(ShardTruncatedError):  # the next header is not there then
                Content(file, "", position, following - position - BLOCK).skip()
            position = following
            continue
        if fault:
            _compare_header(header, info, position, fault)
        elif info.type != tarfile.REGTYPE:
            raise ShardFormatError(f"member {info.name!r} at byte {position} is no regular file")
        member = Member(info.name, position + BLOCK, info.size)
        try:
            content = Content(file, info.name, position, info.size)
            if info.isreg():
                yield member, content
            content.skip()
            padding = Content(file, info.name, position, -info.size % BLOCK).read()
        except ShardTruncatedError as error:
            tell("end", error)
            return
        if fault and any(padding):
            fault("padding", ShardFormatError(f"the bytes behind member {info.name!r} are not zero"))
        position = member.end
    _check_end(file, position, tell)


def _raise(code: str, error: ShardError) -> None:
    raise error


def _parse_header(header: bytes, position: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        if info.size < 0:
            raise ValueError("negative size")
    except (tarfile.TarError, ValueError) as error:
        raise ShardFormatError(f"damaged tar header at byte {position} ({error})") from error
    return info


def _compare_header(
    header: bytes, info: tarfile.TarInfo, position: int, fault: Callable[[str, ShardError], None]
) -> None:
    """Tell where a header is not the one that a member of this name and size must have."""
    try:
        expected = encode_header(info.name, info.size)
    except (ShardFormatError, ValueError) as error:
        fault("header", ShardFormatError(f"{error} (at byte {position})"))
        return
    if header != expected:
        plain = _parse_header(expected, position)
        wrong = [name for name in _FIELDS if getattr(info, name) != getattr(plain, name)]
        text = f"the header of {info.name!r} at byte {position} is not plain: {', '.join(wrong) or 'its form'}"
        fault("header", ShardFormatError(text))


def _check_end(file: BinaryIO, position: int, tell: Callable[[str, ShardError], None]) -> None:
    end, zeros = position + BLOCK, True
    while data := file.read(_PIECE):
        end += len(data)
        zeros = zeros and data.count(0) == len(data)
    if end < position + 2 * BLOCK:
        tell("end", ShardTruncatedError(f"has only one of the two closing blocks, at byte {position}"))
    elif not zeros:
        tell("end", ShardFormatError(f"has data after the end of the archive at byte {position}"))
    elif end % RECORD:
        tell("end", ShardTruncatedError(f"is {end} bytes long, which is no multiple of {RECORD}"))
