"""The index: from a clip's number to bytes of a shard, whatever reads them; damage is named."""

import json
import shutil
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcorr.shards.checks.archive_check import scan_shard
from avcorr.shards.dataset import ClipEntry, Dataset
from avcorr.shards.errors import DatasetMismatchError, ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.clip import MEMBERS, Clip
from avcorr.shards.format.tar import closing, encode_member, iter_members, locate_members
from avcorr.shards.index.clip_table import (
    COLUMNS,
    Table,
    TableWriter,
    digest_of,
)
from avcorr.shards.index.layout import MANIFEST, TABLES, ShardName
from avcorr.shards.index.record import ShardEntry
from avcorr.shards.index.shard_list import iter_entries, read_manifest
from avcorr.shards.reader import read_clips
from avcorr.shards.store import ByteRange
from avcorr.shards.writer import remake_table
from tests.shards.test_writer import make_clip
from tests.support.tables import table_of, table_problems

TRAIN = ShardName("clips", "train", 0)


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
    clips = [clip for record in Dataset(shards).of_split("train") for clip in read_clips(shards, record)]
    found = Dataset(shards).clips(splits=["train"])
    assert len(found) == len(clips) == 8
    assert [clip.key for clip in found] == found.texts("key") == [clip.key for clip in clips]
    for number, clip in enumerate(clips):
        entry, metadata = found[number], clip.metadata
        assert (entry.key, entry.video, entry.label) == (clip.key, metadata.video, metadata.label)
        for frame in range(metadata.frame_count):
            assert read(shards, entry.frame(frame)) == bytes(clip.frame(frame))
        assert (entry.frame_times / 1e6).tolist() == metadata.frame_times
        count = metadata.sample_count
        for start, stop in ((0, count), (100, 16100), (count - 1, count), (5, 5)):
            assert read(shards, entry.samples(start, stop)) == bytes(clip.samples(start, stop))


def test_a_table_holds_what_the_tar_and_the_metadata_hold(shards: Path) -> None:
    record = Dataset(shards).of_split("train")[0]
    table = table_of(shards, record)
    clips = list(read_clips(shards, record))
    with (shards / record.path).open("rb") as file:
        members = [(member.offset, member.offset + member.size) for member, _ in iter_members(file)]
    assert [table.member(row, suffix) for row in range(table.clips) for suffix in MEMBERS] == members
    for name in ("sample_rate", "sample_count"):
        assert table[name].tolist() == [getattr(clip.metadata, name) for clip in clips]
    for name in fields(clips[0].metadata):
        assert [row[name.name] for row in table.arrow.to_pylist()] == [
            getattr(clip.metadata, name.name) for clip in clips
        ]
    assert scan_shard(shards, record.path).table.encode()[0] == (shards / TRAIN.table).read_bytes()


def test_a_wrong_number_is_refused(shards: Path) -> None:
    dataset = Dataset(shards)
    clips = dataset.clips(splits=["train"])
    for clip, frame in ((0, 12), (0, -1), (8, 0), (-1, 0)):
        with pytest.raises(IndexError, match="there is no"):
            clips[clip].frame(frame)
    for start, stop in ((-1, 5), (5, 4), (0, 48001)):
        with pytest.raises(IndexError, match="48000 samples"):
            clips[0].samples(start, stop)
    with pytest.raises(DatasetMismatchError, match="no clips in the split 'dev'; it has test, train"):
        dataset.of_split("dev")


def test_others_read_the_tables_as_they_are(shards: Path) -> None:
    clips = [clip.metadata for record in Dataset(shards).records for clip in read_clips(shards, record)]
    files = [str(path) for path in sorted((shards / TABLES).glob("*.parquet"))]
    question = (
        "select key, len(frame_times) from read_parquet(?) where not silent and label in ('', 'dog') order by key"
    )
    assert duckdb.execute(question, [files]).fetchall() == sorted((c.key, c.frame_count) for c in clips if not c.silent)
    frame = pq.read_table(files[0]).to_pandas()
    assert frame.columns.tolist() == list(COLUMNS)
    assert frame.frame_times[0].tolist() == next(clip.frame_times for clip in clips if clip.key == frame.key[0])


def test_a_table_is_its_content_whoever_wrote_the_file(shards: Path, tmp_path: Path) -> None:
    """Another version of pyarrow, or another program, writes other bytes and other widths of the same values."""
    record = Dataset(shards).of_split("train")[0]
    table = table_of(shards, record).arrow
    shuffled = table.select(list(reversed(COLUMNS)))
    at = shuffled.schema.get_field_index("sample_count")
    shuffled = shuffled.set_column(at, "sample_count", shuffled["sample_count"].cast("uint32"))
    pq.write_table(shuffled, tmp_path / "a.parquet", compression="gzip", use_dictionary=True, row_group_size=1)
    data = (tmp_path / "a.parquet").read_bytes()
    found = Table("a.parquet", replace(record, table_sha256=sha256(data).hexdigest()), data)
    assert digest_of(found.arrow) == record.clips_digest == digest_of(table)
    assert ClipEntry(record, found, 3).frame(2) == ClipEntry(record, table_of(shards, record), 3).frame(2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 300)), min_size=1, max_size=5))
def test_any_clips_give_ranges_of_their_own_bytes(shapes: list) -> None:
    clips: list[Clip] = [make_clip(f"v{n}" + "x" * n, *shape) for n, shape in enumerate(shapes)]
    data, writer = b"", TableWriter()
    for clip in clips:
        encoded = b"".join(encode_member(name, content) for name, content in clip.members())
        writer.add(clip.metadata, locate_members(encoded, len(data)))
        data += encoded
    file, (count, frames, seconds) = writer.encode()[0], writer.counts()
    entry = ShardEntry(
        path=TRAIN.path, split="train", size=len(data + closing(len(data))), sha256="0" * 64, md5="0" * 32,
        clips=count, frames=frames, seconds=seconds, table_sha256=sha256(file).hexdigest(), clips_digest="0" * 64,
    )  # fmt: skip
    table = Table("a.parquet", entry, file)
    for row, clip in enumerate(clips):
        assert [data[slice(*table.member(row, suffix))] for suffix in MEMBERS] == [c for _, c in clip.members()]
        entry, count = ClipEntry(SimpleNamespace(path="x"), table, row), clip.metadata.sample_count
        for frame in range(clip.metadata.frame_count):
            assert data[slice(*entry.frame(frame)[1:])] == bytes(clip.frame(frame))
        assert data[slice(*entry.samples(count // 2, count)[1:])] == bytes(clip.samples(count // 2, count))
        for ask in (lambda: entry.frame(clip.metadata.frame_count), lambda: entry.samples(0, count + 1)):  # noqa: B023
            with pytest.raises(IndexError, match=f"{clip.key} has"):
                ask()


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
        shutil.copy(path.with_name("train-000001.parquet"), path)


@pytest.mark.parametrize("how", ["missing", "cut", "empty", "flipped", "another shard's"])
def test_a_damaged_table_is_named_and_made_again(root: Path, how: str) -> None:
    path = root / TRAIN.table
    whole = path.read_bytes()
    record = Dataset(root).records[1]
    assert not table_problems(root, record)
    damage(path, how)
    with pytest.raises(ShardFormatError, match=r"train-000000\.parquet.*avcorr repair"):
        Dataset(root).clips(splits=["train"])[0]
    Dataset(root).clips(splits=["train"])[7].frame(0)  # another shard
    assert len(table_problems(root, record)) == 1
    remake_table(root, TRAIN)
    assert path.read_bytes() == whole and not table_problems(root, record)


def test_a_table_of_other_clips_is_found_though_the_record_vouches_for_them(root: Path) -> None:
    records = Dataset(root).records[1:]
    assert table_problems(root, records[0]) == []
    wrong = replace(records[0], path=records[1].path, table_sha256=records[1].table_sha256)
    (problem,) = table_problems(root, wrong)
    assert "not those of the record" in problem


def test_the_manifest_says_what_is_there_and_its_damage_is_named(root: Path) -> None:
    entries = read_manifest(root).shards
    assert entries == tuple(iter_entries(root))
    assert [(entry.path, entry.clips, entry.frames, entry.seconds) for entry in entries] == [
        ("test/clips-test-000000.tar", 4, 48, 12.0),
        ("train/clips-train-000000.tar", 4, 48, 12.0),
        ("train/clips-train-000001.tar", 4, 48, 12.0),
    ]
    path = root / MANIFEST
    whole = path.read_bytes()
    for bad in (whole[:100], b"[]", json.dumps({"shards": [{"path": "x"}]}).encode()):
        path.write_bytes(bad)
        with pytest.raises(ShardFormatError, match=r"index\.json is damaged.*repair"):
            Dataset(root)
    path.unlink()
    with pytest.raises(DatasetMismatchError, match="run the same avcorr shard again"):
        Dataset(root)
    finish_dataset(root)
    assert path.read_bytes() == whole
