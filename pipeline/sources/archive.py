"""Videos inside archives, read without unpacking them: one pass lists the members, another hands them on.

A plain tar is listed by its headers alone and its members are read by offset, those of a zip by its directory. A
compressed tar is a stream: it is read from its beginning once to list it, and once more to decode its members in the
order in which they lie there.
ffmpeg wants a file that it can seek in, so a member is handed on as a file in memory; where the system has none, as on
macOS, as a temporary one.
"""

import bz2
import gzip
import json
import lzma
import os
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import Field, InstanceOf, TypeAdapter

from avcorr.files import open_file, read_file, write_atomically
from avcorr.json_file import load_json

from ..errors import ArchiveError, MediaError

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zip")
_ZIP = b"PK"
MOST_BESIDE = 1 << 16
"""Bytes of a small file beside a video that are read."""
_MOST_LISTING = 1 << 30
MAX_MEMBER_BYTES = 1 << 30
"""A larger member is not read: it would have to fit into memory."""
_CHUNK_BYTES = 1 << 20


_Bytes = Annotated[int, Field(ge=0, le=2**63)]
_Text = InstanceOf[str]
"""Names of members may be no UTF-8."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where a file lies in its archive."""

    offset: _Bytes
    """Of its first byte, in the archive as it is when it is not compressed."""
    size: _Bytes
    compressed: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The regular files of an archive, and what is wrong with it."""

    members: tuple[tuple[_Text, Member], ...]
    """Those that can be read whole, with their names, in the archive's order."""
    damage: _Text
    """What was found behind the last of them; "" where that is the archive's end."""
    cut: _Text
    """Name of the member that the damage begins in; "" where it lies between two."""
    beside: dict[_Text, _Text] = field(default_factory=dict)
    """What the small files beside the videos hold, by name."""


_LISTING = TypeAdapter(Listing)


class MemoryFile:
    """A file that has a path but lies in memory; it is gone with its last reference."""

    def __init__(self) -> None:
        self.path = ""
        """Can be opened, also by child processes, any number of times."""
        self.size = 0
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
            self.descriptor = os.memfd_create("avcorr", os.MFD_CLOEXEC)
            self.path = f"/proc/{os.getpid()}/fd/{self.descriptor}"
        else:
            self.descriptor, self.path = tempfile.mkstemp(prefix="avcorr-")
            weakref.finalize(self, os.unlink, self.path)
        weakref.finalize(self, os.close, self.descriptor)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:
            written = os.write(self.descriptor, view)
            self.size += written
            view = view[written:]


def _unpack_zstd(file: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")


_UNPACKERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _unpack_zstd,
}
"""How compressed streams begin, and what reads them."""


class _Stream:
    """The content of an archive from its beginning, decompressed. Raises ArchiveError where it is damaged."""

    def __init__(self, path: str | Path) -> None:
        self._raw = open_file(path)
        magic = self._raw.read(6)
        self._raw.seek(0)
        unpack = next((unpack for begin, unpack in _UNPACKERS.items() if magic.startswith(begin)), None)
        self.compressed = unpack is not None
        self._file = unpack(self._raw) if unpack else self._raw
        self._size = os.fstat(self._raw.fileno()).st_size
        self.position = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, a chunk at most: fewer than `size` only at the end."""
        if not 0 <= size <= _CHUNK_BYTES:  # tarfile reads what a header claims
            raise ArchiveError(f"damaged tar header before byte {self.position} (an extension of {size} bytes)")
        try:
            data = self._file.read(size)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise ArchiveError(f"damaged near byte {self.position} ({error})") from error
        self.position += len(data)
        return data

    def tell(self) -> int:
        """Return the position."""
        return self.position

    def skip_to(self, position: int) -> None:
        """Go forward to a position."""
        if not self.compressed:
            if position > self._size:
                raise ArchiveError(f"ends at byte {self._size}, before byte {position}")
            self._file.seek(position)
            self.position = position
        while self.position < position:
            if not self.read(min(_CHUNK_BYTES, position - self.position)):
                raise ArchiveError(f"ends at byte {self.position}, before byte {position}")

    def load(self, size: int) -> MemoryFile:
        """Return the next `size` bytes as a file in memory."""
        file = MemoryFile()
        while file.size < size:
            data = self.read(min(_CHUNK_BYTES, size - file.size))
            if not data:
                raise ArchiveError(f"ends at byte {self.position}, inside a member")
            file.write(data)
        return file

    def close(self) -> None:
        self._file.close()
        self._raw.close()


def is_archive(name: str) -> bool:
    """Return whether a file's name is that of an archive that can be read."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def list_archive(
    path: Path,
    *,
    cache: Path | None = None,
    look: Callable[[str, MemoryFile], None] | None = None,
    beside: tuple[str, ...] = (),
) -> Listing:
    """Return the regular files of an archive; one that is damaged is listed up to the damage.

    Args:
        path: the archive; that it is compressed is told by its first bytes.
        cache: folder in which the listing of a compressed archive is kept for the next run.
        look: is called with each member of a compressed archive while the pass is there anyway.
        beside: suffixes of small files whose content is wanted, too.
    """
    if _begins_as_zip(path):
        return _list_zip(path, beside)
    try:
        stream = _Stream(path)
    except OSError as error:
        return Listing((), f"cannot be opened ({error.strerror})", "")
    try:
        kept = _cache_path(path, cache) if cache and stream.compressed else None
        if kept and kept.exists():
            with suppress(OSError, ValueError):  # one that is damaged is made again
                return _LISTING.validate_python(load_json(read_file(kept, _MOST_LISTING)))
        listing = _list(stream, look if stream.compressed else None, beside)
    finally:
        stream.close()
    if kept:
        write_atomically(kept, json.dumps(asdict(listing)).encode())  # in ASCII: names may be no UTF-8
    return listing


def _list(stream: _Stream, look: Callable[[str, MemoryFile], None] | None, beside: tuple[str, ...]) -> Listing:
    members: list[tuple[str, Member]] = []
    contents: dict[str, str] = {}
    cut, damage = "", ""
    try:
        for info in _regular_files(stream):
            member = Member(stream.position, info.size, stream.compressed)
            cut = info.name
            if beside and info.name.lower().endswith(beside) and info.size <= MOST_BESIDE:
                contents[info.name] = stream.read(info.size).decode("utf-8", "replace")
                stream.skip_to(member.offset + info.size)
            elif look and info.size <= MAX_MEMBER_BYTES:
                look(info.name, stream.load(info.size))
            else:
                stream.skip_to(member.offset + info.size)
            members.append((info.name, member))
            cut = ""
    except ArchiveError as error:
        damage = str(error)
    return Listing(tuple(members), damage, cut, contents)


def _begins_as_zip(path: str | Path) -> bool:
    try:
        with open_file(path) as file:
            return file.read(2) == _ZIP
    except OSError:
        return False


def _list_zip(path: Path, beside: tuple[str, ...]) -> Listing:
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            small = [info for info in infos if info.filename.lower().endswith(beside) and info.file_size <= MOST_BESIDE]
            contents = {
                info.filename: archive.read(info).decode("utf-8", "replace") for info in small if not info.flag_bits & 1
            }
    except _ZIP_ERRORS as error:
        return Listing((), f"is no zip that can be read ({error})", "")
    return Listing(
        tuple((info.filename, Member(info.header_offset, info.file_size, False)) for info in infos), "", "", contents
    )


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
)
"""All that the standard library raises for damaged, encrypted or odd ones."""


def _read_zip(path: str, members: Iterable[Member]) -> Iterator[MemoryFile | MediaError]:
    """Yield members of a zip, each found by where its header lies."""
    for member in members:
        try:
            with open_file(path) as raw, zipfile.ZipFile(raw) as archive:
                info = next(info for info in archive.infolist() if info.header_offset == member.offset)
                memory = MemoryFile()
                with archive.open(info) as file:
                    while memory.size <= member.size and (data := file.read(_CHUNK_BYTES)):
                        memory.write(data)
            if memory.size != member.size:
                raise zipfile.BadZipFile(f"{memory.size} bytes in place of {member.size}")
            yield memory
        except FileNotFoundError:
            yield MediaError("missing", f"the archive {path} is not there")
        except (*_ZIP_ERRORS, StopIteration) as error:
            yield MediaError("archive_damaged", f"{path}: {error or 'the member is gone'}")


def _regular_files(stream: _Stream) -> Iterator[tarfile.TarInfo]:
    """Yield each regular file with the stream at its content; leave the stream behind the archive's end.

    `TarFile` itself would take a damaged header for the end of the archive, and keep every header in memory; here it
    only holds what `TarInfo.fromtarfile` needs, and is neither filled nor closed.
    """
    archive = tarfile.TarFile(mode="w", fileobj=stream, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    while True:
        begin = stream.position
        try:
            info = tarfile.TarInfo.fromtarfile(archive)
            if info.size < 0:
                raise ValueError("negative size")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            break
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]
            raise ArchiveError(f"ends at byte {begin} without a closing block") from error
        except (tarfile.TarError, ValueError, IndexError, RecursionError) as error:  # all that hostile ones cause
            raise ArchiveError(f"damaged tar header at byte {begin} ({error})") from error
        end = archive.offset
        if info.isreg() and not info.issparse():
            yield info
        stream.skip_to(end)
    while stream.compressed and stream.read(_CHUNK_BYTES):
        pass  # gzip's checksum stands at the very end


def _cache_path(path: Path, cache: Path) -> Path:
    status = path.stat()
    identity = f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}"
    return cache / f"{sha256(os.fsencode(identity)).hexdigest()[:16]}.listing.json"


def load_member(path: str, member: Member) -> MemoryFile:
    """Return a member of a plain archive as a file in memory. Raises MediaError where it cannot be read whole."""
    (file,) = read_members(path, [member])
    if isinstance(file, MediaError):
        raise file
    return file


def read_members(path: str, members: Iterable[Member]) -> Iterator[MemoryFile | MediaError]:
    """Yield members of an archive, which is read once; for those that cannot be read whole, why not.

    Args:
        path: of the archive.
        members: in the order in which they lie there; one may be asked for several times.
    """
    if _begins_as_zip(path):
        yield from _read_zip(path, members)
        return
    stream: _Stream | None = None
    result: MemoryFile | MediaError
    try:
        stream = _Stream(path)
    except FileNotFoundError:
        result = MediaError("missing", f"the archive {path} is not there")
    except OSError as error:
        result = MediaError("unreadable", f"the archive {path} cannot be read ({error.strerror})")
    last = -1
    try:
        for member in members:
            if stream is not None and member.offset != last:
                try:
                    stream.skip_to(member.offset)
                    result, last = stream.load(member.size), member.offset
                except ArchiveError as error:
                    result = MediaError("archive_damaged", f"{path}: {error}")
                    stream.close()
                    stream = None
            yield result
    finally:
        if stream is not None:
            stream.close()
