"""The archive: deterministic, strict about its end, and plain to everybody else's tar."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avcorr.shards.errors import ShardFormatError, ShardTruncatedError
from avcorr.shards.format.tar import BLOCK, closing, encode_member, iter_members

contents = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9]{0,20}\.(json|wav)", fullmatch=True), st.binary(max_size=2000), max_size=5
)


def archive(members: dict[str, bytes]) -> bytes:
    data = b"".join(encode_member(name, content) for name, content in members.items())
    return data + closing(len(data))


@given(contents)
def test_members_come_back_and_python_agrees(members: dict[str, bytes]) -> None:
    data = archive(members)
    assert {member.name: content.read() for member, content in iter_members(io.BytesIO(data))} == members
    assert len(list(iter_members(io.BytesIO(data)))) == len(members)  # what is not read is passed over
    for member, content in iter_members(io.BytesIO(data)):
        half = content.read(member.size // 2)
        assert data[member.offset : member.offset + member.size] == half + content.read() and content.read(9) == b""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as reader:
        found = reader.getmembers()
        assert [(info.name, info.size, info.mtime, info.uid, info.mode) for info in found] == [
            (name, len(content), 0, 0, 0o444) for name, content in members.items()
        ]
    assert len(data) % 10240 == 0


def test_every_cut_is_seen() -> None:
    """Also those at a member's edge and before the closing blocks, which GNU tar and Python's tarfile accept."""
    data = archive({"a.json": b"x" * 700, "a.wav": b"y" * 512, "b.json": b"z"})
    for size in [
        *range(0, 5 * BLOCK, 100),
        3 * BLOCK,
        5 * BLOCK,
        7 * BLOCK,
        8 * BLOCK,
        len(data) - BLOCK,
        len(data) - 1,
    ]:
        with pytest.raises((ShardTruncatedError, ShardFormatError)):
            list(iter_members(io.BytesIO(data[:size])))


def test_damage_is_named() -> None:
    data = bytearray(archive({"a.json": b"x" * 700}))
    with pytest.raises(ShardFormatError, match="damaged tar header at byte 0"):
        list(iter_members(io.BytesIO(b"b" + data[1:])))
    with pytest.raises(ShardFormatError, match="data after the end"):
        list(iter_members(io.BytesIO(bytes(data[:-1]) + b"!")))
    with pytest.raises(ShardFormatError, match="longer than 99 bytes"):
        encode_member("k" * 100, b"")


def test_links_are_refused() -> None:
    link = tarfile.TarInfo("a.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    data = link.tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ShardFormatError, match="no regular file"):
        list(iter_members(io.BytesIO(data + closing(len(data)))))
