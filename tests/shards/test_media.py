"""Frames and metadata that a checksum vouches for: what `verify` tells no reader takes, and the reverse."""

import io
import json
import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from avcorr.pages.sheets.contact_sheet import clip_sheet
from avcorr.pages.sheets.strip import SheetError
from avcorr.shards.checks.archive_check import _Clips, scan_shard
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardError, ShardFormatError, ShardTruncatedError
from avcorr.shards.format.clip import MEMBERS, MOST_METADATA_BYTES, Clip, ClipMetadata, find_metadata_faults
from avcorr.shards.format.jpeg import END, find_fault
from avcorr.shards.format.tar import BLOCK, Content, Member, closing, encode_header, encode_member
from avcorr.shards.index.record import ShardRecord, read_record
from avcorr.shards.reader import check_shard, read_clips
from avcorr.webdataset import decode
from tests.pipeline.moments.test_stages import loader_of
from tests.shards.test_writer import make_clip, make_jpeg
from tests.support.damage import NAME, edit_frames, edit_json, read_members, rebuild, seal

Change = Callable[[bytes], bytes]
FRAME = b"\xff\xc0\x00\x11\x08"
"""How a baseline frame header of three components begins; height, width and components follow."""
SCAN = b"\xff\xda\x00\x0c\x03"


def picture(mode: str, **options: Any) -> Change:
    def change(jpeg: bytes) -> bytes:
        data = io.BytesIO()
        Image.open(io.BytesIO(jpeg)).convert(mode).save(data, "JPEG", **options)
        return data.getvalue()

    return change


def put(old: bytes, new: bytes) -> Change:
    def change(jpeg: bytes) -> bytes:
        assert old in jpeg
        return jpeg.replace(old, new, 1)

    return change


def claim(width: int, height: int) -> Change:
    def change(jpeg: bytes) -> bytes:
        start = jpeg.index(FRAME) + len(FRAME)
        return jpeg[:start] + struct.pack(">HH", height, width) + jpeg[start + 4 :]

    return change


def sample(jpeg: bytes) -> bytes:
    """Claim 4:1:1."""
    start = jpeg.index(FRAME) + 11
    return jpeg[:start] + b"\x41" + jpeg[start + 1 :]


HEADERS: dict[str, tuple[Change, str]] = {
    "grey": (picture("L"), "has 1 components; a frame has 3"),
    "CMYK": (picture("CMYK"), "has 4 components; a frame has 3"),
    "five components": (put(FRAME + b"\x00\x30\x00\x40\x03", FRAME + b"\x00\x30\x00\x40\x05"), "has 5 components"),
    "progressive": (picture("RGB", progressive=True), r"is no baseline JPEG \(SOF2\)"),
    "twelve bits": (put(FRAME, FRAME[:4] + b"\x0c"), "has samples of 12 bits"),
    "a scan a component": (put(SCAN, b"\xff\xda\x00\x08\x01"), "has a scan of its own"),
    "two frame headers": (lambda jpeg: put(SCAN, jpeg[(at := jpeg.index(FRAME)) : at + 19] + SCAN)(jpeg), "a second"),
    "another sampling": (sample, "another sampling than 4:4:4"),
    "no frame header": (put(FRAME, b"\xff\xe5" + FRAME[2:]), "has no frame header"),
    "no end of the header": (lambda jpeg: jpeg[:90] + END, "has a damaged header"),
    "segments without end": (lambda jpeg: jpeg[:2] + b"\xff\xe0\x00\x02" * 70_000 + jpeg[2:], "has a damaged header"),
    "SOI lost": (lambda jpeg: b"none" + jpeg[4:], "does not begin with SOI"),
}


@pytest.fixture
def root(tmp_path: Path, shards: Path) -> Path:
    """A dataset to damage."""
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    return root


def reading(root: Path) -> dict[str, Callable[[], object]]:
    """Return each way in which a frame of the first clip of a dataset is decoded, or served to be."""
    dataset, members = Dataset(root), [data for _, data in read_members(root / NAME.path)[:3]]
    first = dataset.clips(splits=["train"])[0]
    sample = {"__key__": first.key, **dict(zip(MEMBERS, members, strict=True))}
    return {
        "pairs": lambda: list(islice(loader_of(root), 4)),
        "pairs on the device": lambda: list(islice(loader_of(root, decode="device"), 4)),
        "a sheet": lambda: clip_sheet(dataset.read([first])[0]),
        "webdataset": lambda: decode()(sample),
    }


@pytest.mark.parametrize("name", HEADERS)
def test_a_frame_of_another_kind_is_refused_at_its_header(root: Path, name: str) -> None:
    change, words = HEADERS[name]
    edit_frames(change)(root)
    found = [problem for problem in verify(root, full=True) if problem.path == NAME.path]
    assert {problem.code for problem in found} == {"jpeg"} and len(found) == 4
    assert "its frame 0" in found[0].message and "(12 of 12 frames are so)" in found[0].message
    for ask in reading(root).values():
        with pytest.raises((ShardFormatError, SheetError), match=words) as caught:
            ask()
        assert "avcorr verify --full" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(65500, 65500), (65000, 1033)])
def test_a_frame_that_claims_too_many_pixels_is_not_decoded(root: Path, size: tuple[int, int]) -> None:
    edit_frames(claim(*size), width=size[0], height=size[1])(root)
    found = [problem for problem in verify(root, full=True) if problem.path == NAME.path]
    assert {problem.code for problem in found} == {"jpeg"}
    assert f"its frame 0 claims {size[0]} x {size[1]} pixels; a frame has at most 67108864" in found[0].message
    with pytest.raises(ShardFormatError, match="height: makes more than 67108864 pixels"):  # by its index already
        reading(root)
    with pytest.raises(ShardFormatError, match=f"claims {size[0]} x {size[1]} pixels"):
        next(read_clips(root, Dataset(root).of_split("train")[0]))


def test_a_scan_that_was_cut_is_found(root: Path) -> None:
    edit_frames(lambda jpeg: jpeg[: len(jpeg) * 2 // 3] + END)(root)
    found = list(verify(root, full=True))
    assert [problem.code for problem in found] == ["jpeg"] * 4
    assert found[0].message.startswith("its frame 0 cannot be decoded (")
    ways = reading(root)
    del ways["pairs on the device"]  # its decoder takes what is there
    for ask in ways.values():
        with pytest.raises((ShardFormatError, SheetError), match="cannot be"):
            ask()


def test_a_frame_of_another_size_than_the_metadata_say_is_refused(root: Path) -> None:
    edit_frames(lambda jpeg: jpeg, width=62)(root)
    assert {problem.code for problem in verify(root, full=True)} == {"jpeg_size"}
    for ask in reading(root).values():
        with pytest.raises((ShardFormatError, SheetError), match="is 64 x 48; the metadata say 62 x 48"):
            ask()


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_frames_of_other_encoders_are_taken(root: Path, sampling: str) -> None:
    """Also where a comment holds what looks like the beginning of a scan."""
    edit_frames(picture("RGB", subsampling=sampling, comment=b"\xff\xda\x00\x0c\x03 and more"))(root)
    assert [problem.code for problem in verify(root, full=True)] == []
    for ask in reading(root).values():
        ask()


def test_a_look_at_a_header_costs_no_more_for_a_long_frame() -> None:
    jpeg = make_jpeg("va")
    assert find_fault(jpeg, 64, 48) is None
    assert find_fault(jpeg[:-2] + bytes(10**8) + END, 64, 48) is None  # the scan is not looked at


HUGE = "x" * 10**6
FIELDS: dict[str, dict[str, Any]] = {
    "width": {"width": 0}, "height": {"height": 2**30}, "sample_rate": {"sample_rate": 0}, "label": {"label": HUGE},
    "rate that no codec knows": {"sample_rate": 2**30}, "duration": {"duration": 1e12},
    "duration that is no number": {"duration": float("nan")}, "frame_times": {"frame_times": []},
    "frame_offsets": {"frame_offsets": [0.0, 1.0]}, "labels": {"labels": [HUGE]}, "caption": {"caption": HUGE},
    "video": {"video": 1}, "key": {"key": HUGE}, "frames_decoded": {"frames_decoded": 10**30},
    "largest_gap": {"largest_gap": float("inf")}, "sample_count": {"sample_count": 2**30}, "format": {"format": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_metadata_out_of_range_are_refused_in_a_line(root: Path, name: str) -> None:
    edit_json(**FIELDS[name])(root)
    (field,) = FIELDS[name]
    found = [problem for problem in verify(root, full=True) if problem.path == NAME.path]
    assert {problem.code for problem in found} == {"metadata"}
    assert f"its field '{field}" in found[0].message and len(found[0].message) < 300
    clip = Dataset(root).clips(splits=["train"])[0]
    with pytest.raises(ShardFormatError) as caught:
        Dataset(root).read([clip])
    said = str(caught.value)
    assert said.startswith(f"{root}/{NAME.path}: clip {clip.key}: ") and len(said) < 500 and "\n" not in said
    assert said.endswith("avcorr verify --full says what else is wrong")


@pytest.mark.parametrize("data", [
    b"[" * 200_000, b'{"a":' * 200_000, b"{}", b"[]", b"null", b"\xff", b"", b'{"format":1,"key":"\\ud800"}',
    b'{"format": 1' + b"0" * 10_000 + b"}", b" " * (MOST_METADATA_BYTES + 1),
])  # fmt: skip
def test_what_are_no_metadata_is_told(data: bytes) -> None:
    faults = list(find_metadata_faults(data))
    assert faults and all(len(fault) < 300 for fault in faults)
    with pytest.raises(ShardFormatError):
        ClipMetadata.from_json(data)


def test_metadata_that_were_written_are_read() -> None:
    known = make_clip("va").metadata
    later = json.loads(known.to_json()) | {"of_a_later_revision": [1]}
    assert ClipMetadata.from_json(json.dumps(later).encode()) == ClipMetadata.from_json(known.to_json()) == known


@pytest.mark.parametrize(("number", "change", "words"), [
    (1, lambda data: data.clear(), "its WAV header is not"),
    (1, lambda data: data.append(0), "its WAV has 96045 bytes"),
    (2, lambda data: data.append(0), "frame offsets do not span"),
])  # fmt: skip
def test_members_of_another_length_are_refused(
    shards: Path, number: int, change: Callable[[bytearray], None], words: str
) -> None:
    record = Dataset(shards).of_split("train")[0]
    clip = next(read_clips(shards, record))
    members = [bytearray(data) for _, data in clip.members()]
    change(members[number])
    with pytest.raises(ShardFormatError, match=f"clip {clip.key}: its .*{words.removeprefix('its ')}"):
        Clip.read(*map(bytes, members), clip.key)


@pytest.mark.parametrize("change", [lambda m: m[3:6] + m[:3] + m[6:], lambda m: m[6:] + m[:6]])
def test_a_tar_with_other_clips_than_its_index_says_is_told_with_shard_and_clip(
    root: Path, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]
) -> None:
    rebuild(change)(root)
    clip = Dataset(root).clips(splits=["train"])[0]
    words = f"{NAME.path}: (clip {clip.key}: its|.* where {clip.key}) .*verify --full says what else is wrong"
    with pytest.raises(ShardFormatError, match=words):
        Dataset(root).read([clip])


def claim_size(root: Path, size: int) -> None:
    """Let the last member of the first shard be a hole of so many bytes, and let everything vouch for it."""
    path, members = root / NAME.path, read_members(root / NAME.path)
    data = b"".join(encode_member(*member) for member in members[:-1]) + encode_header(members[-1][0], size)
    path.write_bytes(data)
    end = len(data) + size + -size % BLOCK
    os.truncate(path, end + len(closing(end)))
    seal(root)


def read_first(root: Path, record: ShardRecord) -> list[str]:
    with pytest.raises(ShardFormatError) as caught:
        list(read_clips(root, record))
    return [str(caught.value)]


def scan(root: Path, record: ShardRecord) -> list[str]:
    return [problem.message for problem in scan_shard(root, record.path).problems]


@pytest.mark.parametrize("ask", [read_first, scan])
def test_a_member_of_any_size_takes_little_memory(root: Path, ask: Callable[[Path, ShardRecord], list[str]]) -> None:
    claim_size(root, 200 << 20)
    record = read_record(root / NAME.record)
    tracemalloc.start()
    try:
        said = ask(root, record)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20 and any("209715200 bytes" in text for text in said), said


def test_a_member_that_no_table_can_hold_is_told() -> None:
    clips = _Clips("train/x.tar", None)
    for (name, data), size in zip(make_clip("va").members(), (0, 0, 7 << 30), strict=True):
        content = Content(io.BytesIO(data), name, 0, len(data))
        clips.add(Member(name, BLOCK, size or len(data)), content)
    clips.finish()
    assert {problem.code for problem in clips.problems} == {"frames", "members"}


@pytest.mark.parametrize("how", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_in_place_of_a_shard_is_told_at_once(root: Path, how: Callable[[Path], None]) -> None:
    dataset = Dataset(root)
    first = dataset.clips(splits=["train"])[0]
    (root / NAME.path).unlink()
    how(root / NAME.path)
    assert {problem.code for problem in verify(root, full=True)} == {"unreadable"}
    record = dataset.of_split("train")[0]
    for ask in (
        lambda: dataset.read([first]),
        lambda: next(read_clips(root, record)),
        lambda: next(iter(loader_of(root))),
    ):
        with pytest.raises(ShardError, match=f"{NAME.path}.* no regular file"):
            ask()


def test_a_tar_of_no_bytes_that_all_vouch_for_is_told(root: Path) -> None:
    (root / NAME.path).write_bytes(b"")
    seal(root)
    record = read_record(root / NAME.record)
    assert record.size == 0
    with pytest.raises(ShardTruncatedError, match="does not end in two blocks of zeros"):
        check_shard(root, record)
