"""The index: from a clip's number to bytes of a shard, whatever reads them; damage is named."""

import io
import json
import shutil
import struct
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcorr.shards.dataset import Index
from avcorr.shards.errors import DatasetMismatchError, ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import MEMBERS, Clip
from avcorr.shards.format.tar import encode_member, iter_members, locate_members
from avcorr.shards.index.columns import Columns, ColumnsWriter, encode_columns, find_column_problems, repair_columns
from avcorr.shards.index.layout import HIDDEN, MANIFEST
from avcorr.shards.index.manifest import iter_entries, read_manifest
from avcorr.shards.ranges import ByteRange, ClipIndex
from avcorr.shards.reader import read_clips
from tests.shards.test_writer import make_clip

TRAIN = Path(HIDDEN) / "shards" / "train-000000"


@pytest.fixture
def root(tmp_path: Path, shards: Path) -> Path:
    """A copy that may be damaged."""
    shutil.copytree(shards, tmp_path / "root")
    return tmp_path / "root"


def read(root: Path, where: ByteRange) -> bytes:
    with (root / where.path).open("rb") as file:
        file.seek(where.start)
        return file.read(where.stop - where.start)


def test_frames_and_samples_are_where_the_index_says(shards: Path) -> None:
    clips = [clip for record in Index(shards).of_split("train") for clip in read_clips(shards, record)]
    index = ClipIndex(shards, "train")
    assert len(index) == len(clips) == 8
    for number, clip in enumerate(clips):
        metadata = clip.metadata
        assert [index.text(number, name) for name in ("key", "video", "label")] == [
            clip.key,
            metadata.video,
            metadata.label,
        ]
        for frame in range(metadata.frame_count):
            assert read(shards, index.frame(number, frame)) == bytes(clip.frame(frame))
        assert (index.frame_times(number) / 1e6).tolist() == metadata.frame_times
        count = metadata.sample_count
        for start, stop in ((0, count), (100, 16100), (count - 1, count), (5, 5)):
            assert read(shards, index.samples(number, start, stop)) == bytes(clip.samples(start, stop))


def test_columns_hold_what_the_tar_and_the_metadata_hold(shards: Path) -> None:
    record = Index(shards).of_split("train")[0]
    columns = Columns(shards / f"{TRAIN}.npz", record.columns_sha256)
    clips = list(read_clips(shards, record))
    with (shards / record.path).open("rb") as file:
        members = [(member.offset, member.offset + member.size) for member, _ in iter_members(file)]
    assert [columns.member(row, suffix) for row in range(columns.clips) for suffix in MEMBERS] == members
    for name in ("sample_rate", "sample_count"):
        assert columns[name].tolist() == [getattr(clip.metadata, name) for clip in clips]
    assert columns["flag_damaged"].tolist() == [clip.metadata.damaged for clip in clips]
    assert encode_columns(shards / record.path) == (shards / f"{TRAIN}.npz").read_bytes()


def test_a_wrong_number_is_refused(shards: Path) -> None:
    index = ClipIndex(shards, "train")
    for clip, frame in ((0, 12), (0, -1), (8, 0), (-1, 0)):
        with pytest.raises(IndexError, match="there is no"):
            index.frame(clip, frame)
    for start, stop in ((-1, 5), (5, 4), (0, 48001)):
        with pytest.raises(IndexError, match="48000 samples"):
            index.samples(0, start, stop)
    with pytest.raises(DatasetMismatchError, match="no clips in the split 'dev'; it has test, train"):
        ClipIndex(shards, "dev")


def read_npy(data: bytes) -> tuple[str, list[int]]:
    """Read a column without numpy, as a reader in another language would."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (length,) = struct.unpack("<H", data[8:10])
    header = data[10 : 10 + length].decode()
    kind = header.partition("'descr': '")[2].partition("'")[0]
    code = {"<u4": "I", "<u8": "Q", "<i8": "q", "|u1": "B", "|b1": "?"}[kind]
    assert "'fortran_order': False" in header
    body = data[10 + length :]
    return kind, list(struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body))


def test_any_language_can_read_the_columns(shards: Path) -> None:
    record = Index(shards).of_split("train")[0]
    columns = Columns(shards / f"{TRAIN}.npz", record.columns_sha256)
    with zipfile.ZipFile(shards / f"{TRAIN}.npz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert sorted(archive.namelist()) == sorted(f"{name}.npy" for name in columns.names())
        for name in columns.names():
            kind, values = read_npy(archive.read(f"{name}.npy"))
            assert np.dtype(kind) == columns[name].dtype and values == columns[name].ravel().tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 300)), min_size=1, max_size=5))
def test_any_clips_give_ranges_of_their_own_bytes(tmp_path_factory: pytest.TempPathFactory, shapes: list) -> None:
    clips: list[Clip] = [make_clip(f"v{n}" + "x" * n, *shape) for n, shape in enumerate(shapes)]
    data, writer = b"", ColumnsWriter()
    for clip in clips:
        encoded = b"".join(encode_member(name, content) for name, content in clip.members())
        writer.add(clip.metadata, locate_members(encoded, len(data)))
        data += encoded
    path = tmp_path_factory.mktemp("columns") / "a.npz"
    path.write_bytes(writer.encode())
    columns = Columns(path, sha256(path.read_bytes()).hexdigest())
    for row, clip in enumerate(clips):
        assert [data[slice(*columns.member(row, suffix))] for suffix in MEMBERS] == [c for _, c in clip.members()]
        for frame in range(clip.metadata.frame_count):
            assert data[slice(*columns.frame(row, frame))] == bytes(clip.frame(frame))
        count = clip.metadata.sample_count
        assert data[slice(*columns.samples(row, count // 2, count))] == bytes(clip.samples(count // 2, count))


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        data[len(data) // 3] ^= 4
        path.write_bytes(data)
    else:
        shutil.copy(path.with_name("train-000001.npz"), path)


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "flipped", "another shard's"])
def test_damaged_columns_are_named_and_made_again(root: Path, how: str) -> None:
    path = root / f"{TRAIN}.npz"
    whole, record_file = path.read_bytes(), root / f"{TRAIN}.json"
    record = Index(root).of_split("train")[0]
    assert not list(find_column_problems(path, record))
    damage(path, how)
    with pytest.raises(ShardFormatError, match=r"train-000000\.npz.*avcorr repair"):
        ClipIndex(root, "train").frame(0, 0)
    ClipIndex(root, "train").frame(7, 0)  # another shard
    assert len(list(find_column_problems(path, record))) == 1
    repair_columns(root, record_file)
    assert path.read_bytes() == whole and not list(find_column_problems(path, record))


def test_columns_of_other_clips_are_found_though_the_record_vouches_for_them(root: Path) -> None:
    records = Index(root).of_split("train")
    assert list(find_column_problems(root / f"{TRAIN}.npz", records[0])) == []
    wrong = replace(records[0], columns_sha256=records[1].columns_sha256)
    (problem,) = find_column_problems(root / f"{HIDDEN}/shards/train-000001.npz", wrong)
    assert "not those of the record" in problem


def test_the_manifest_says_what_is_there_and_its_damage_is_named(root: Path) -> None:
    entries = read_manifest(root)
    assert entries == tuple(iter_entries(root))
    assert [(entry.path, entry.clips, entry.frames, entry.seconds) for entry in entries] == [
        ("test/clips-test-000000.tar", 4, 48, 12.0),
        ("train/clips-train-000000.tar", 4, 48, 12.0),
        ("train/clips-train-000001.tar", 4, 48, 12.0),
    ]
    path = root / HIDDEN / MANIFEST
    whole = path.read_bytes()
    for bad in (whole[:100], b"[]", json.dumps({"shards": [{"path": "x"}]}).encode()):
        path.write_bytes(bad)
        with pytest.raises(ShardFormatError, match=r"index\.json is damaged.*repair"):
            ClipIndex(root, "train")
    path.unlink()
    with pytest.raises(DatasetMismatchError, match="run the same avcorr shard again"):
        ClipIndex(root, "train")
    finish_dataset(root)
    assert path.read_bytes() == whole


def test_nothing_in_the_columns_is_unpickled(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, sample_count=np.array([{}], dtype=object))
    (tmp_path / "a.npz").write_bytes(file.getvalue())
    with pytest.raises(ShardFormatError, match=r"a\.npz"):
        Columns(tmp_path / "a.npz", sha256(file.getvalue()).hexdigest())
