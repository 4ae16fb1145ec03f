"""Names are not content: files that were replaced under their names, and files that have several names."""

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import avcorr
from avcorr.pipeline.errors import SourceError
from avcorr.pipeline.packing.attempt import Spool, ledger_row
from avcorr.pipeline.packing.pack import may_go_well
from avcorr.pipeline.sources.content import content_of
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.index.layout import INDEX, LEDGER, RECORDS, WORK, ShardName
from avcorr.shards.index.record import ShardRecord, read_record
from avcorr.shards.reader import read_clips
from avcorr.shards.writer import ShardWriter
from tests.conftest import MakeVideo
from tests.support.commands import command

SMALL = {"shard.short_side": 48, "shard.clip_seconds": 1.0, "shard.test_fraction": 0.0, "shard.clips_per_shard": 2}
NAMES = ("a", "b", "c")


@pytest.fixture
def folder(tmp_path: Path, make_video: MakeVideo) -> Path:
    for number, name in enumerate(NAMES):
        make_video(tmp_path / "videos" / f"{name}.mp4", seconds=1, tone=300 + 200 * number)
    return tmp_path / "videos"


def rows_of(root: Path) -> dict[str, dict[str, object]]:
    return {row["source"]: row for row in map(json.loads, (root / LEDGER).read_text().splitlines())}


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace(path: Path) -> None:
    """Put another file of the same size, written long ago, under a name."""
    other = path.with_suffix(".new")
    other.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(other, (10**9, 10**9))
    os.replace(other, path)


@pytest.mark.parametrize("change", [shorten, replace])
def test_a_file_that_was_replaced_under_its_name_is_told(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    avcorr.shard(folder, root, settings=SMALL)
    rows = rows_of(root)
    size, digest = content_of(str(folder / "a.mp4"))
    assert (rows["a.mp4"]["bytes"], rows["a.mp4"]["digest"]) == (size, digest) and len(digest) == 32
    os.utime(folder / "a.mp4")  # touched, but the same
    avcorr.shard(folder, root, settings=SMALL)
    change(folder / "b.mp4")
    words = ["shard", "--source", folder, "--out", root]
    options = [f"{name}={value}" for name, value in SMALL.items()]
    assert command(*words, settings=options) == 1
    said = capsys.readouterr().err
    assert "error: 1 sources have changed since they were packed, b.mp4 for one; --accept-changed goes on" in said
    assert command(*words, "--accept-changed", settings=options) == 0
    assert rows_of(root) == rows and avcorr.verify(root, full=True).ok


def begin(root: Path, whole: Path, failed: str = "", code: str = "") -> ShardRecord:
    """Leave in a folder what a kill in the last moment before a shard is whole leaves; one input may have failed."""
    record = read_record(whole / RECORDS / "train-000000.json")
    clips = read_clips(whole, record)
    shutil.copytree(whole / INDEX, root / INDEX, ignore=lambda *_: ["shards", "clips", "index.json", "ledger.jsonl"])
    with ShardWriter(root, ShardName.parse(record.path), [row["key"] for row in record.ledger]) as writer:
        for clip, row in zip(clips, record.ledger, strict=True):
            if row["source"] == failed:
                writer.fail({**row, "status": "failed", "code": code})
            else:
                writer.add(clip, row)
    return record


@pytest.fixture
def whole(folder: Path, tmp_path: Path) -> Path:
    avcorr.shard(folder, tmp_path / "whole", settings=SMALL | {"shard.clips_per_shard": 3})
    return tmp_path / "whole"


def test_it_is_told_where_a_begun_shard_holds_it(folder: Path, whole: Path, tmp_path: Path) -> None:
    begin(tmp_path / "root", whole)
    replace(folder / "c.mp4")
    with pytest.raises(DatasetMismatchError, match=r"1 sources have changed .*, c\.mp4 for one"):
        avcorr.shard(folder, tmp_path / "root", settings=SMALL | {"shard.clips_per_shard": 3})


def test_what_killed_processes_left_half_written_is_removed(folder: Path, whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    begin(root, whole)
    for left in (root / INDEX, root / WORK, root / WORK / "spool" / "0a", root / INDEX / "shards"):
        left.mkdir(parents=True, exist_ok=True)
        (left / ".va.0a1b2c3d.tmp").write_bytes(b"half")
    (root / ".others.tmp").write_bytes(b"not ours")
    avcorr.shard(folder, root, settings=SMALL | {"shard.clips_per_shard": 3})
    names = {path.name for path in root.rglob(".*")}
    assert names == {".others.tmp"}


@pytest.mark.parametrize("code", ["timeout", "crashed", "unreadable", "missing"])
def test_failures_of_the_moment_are_tried_again(folder: Path, whole: Path, tmp_path: Path, code: str) -> None:
    """As of another process that had another limit: the bytes are those of a run in which nothing failed."""
    root = tmp_path / "root"
    record = begin(root, whole, "b.mp4", code)
    done = avcorr.shard(folder, root, settings=SMALL | {"shard.clips_per_shard": 3})
    assert (done.packed, done.failed) == (3, 0)
    assert read_record(root / RECORDS / "train-000000.json").sha256 == record.sha256


@pytest.mark.parametrize(("code", "packed"), [("timeout", 3), ("crashed", 3), ("undecodable", 2)])
def test_of_clips_that_wait_for_their_shard_too(folder: Path, tmp_path: Path, code: str, packed: int) -> None:
    """The clips of a compressed archive are decoded before the shards, and wait."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder, "videos")
    source = next(each for each in find_sources(tmp_path / "a.tar.gz", test_fraction=0).sources if "b.mp4" in each.name)
    root = tmp_path / "root"
    Spool(root).put(None, ledger_row(source, "failed", code, "as another limit had it"))
    assert avcorr.shard(tmp_path / "a.tar.gz", root, settings=SMALL).packed == packed


def test_what_is_still_missing_costs_nothing(folder: Path, whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    begin(root, whole, "b.mp4", "missing")
    before = [path.read_bytes() for path in (root / WORK).glob("*.jsonl")]
    keys = [json.loads(line.split(b" ", 1)[1])["row"]["key"] for line in before[0].splitlines()]
    (folder / "b.mp4").unlink()
    paths = {key: str(folder / f"{key[1:]}.mp4") for key in keys}
    again = partial(may_go_well, paths)
    with ShardWriter(root, ShardName("clips", "train", 0), keys, again) as writer:
        assert writer.done == 3
    (folder / "b.mp4").touch()
    with ShardWriter(root, ShardName("clips", "train", 0), keys, again) as writer:
        assert writer.done == keys.index("vb")


def test_members_of_archives_are_known_by_their_size(folder: Path, tmp_path: Path) -> None:
    def pack(path: Path) -> None:
        with tarfile.open(path, "w") as archive:
            for file in sorted(folder.iterdir()):
                archive.add(file, file.name)

    pack(tmp_path / "a.tar")
    avcorr.shard(tmp_path / "a.tar", tmp_path / "root", settings=SMALL)
    avcorr.shard(tmp_path / "a.tar", tmp_path / "root", settings=SMALL)
    shorten(folder / "b.mp4")
    pack(tmp_path / "a.tar")
    with pytest.raises(DatasetMismatchError, match="1 sources have changed"):
        avcorr.shard(tmp_path / "a.tar", tmp_path / "root", settings=SMALL)


def test_links_to_one_file_are_one_input(folder: Path, tmp_path: Path) -> None:
    (folder / "dog").mkdir()
    (folder / "soft.mp4").symlink_to(folder / "a.mp4")
    os.link(folder / "b.mp4", folder / "dog" / "hard.mp4")
    found = find_sources([folder, folder / "dog"])
    assert sorted(source.name.rpartition("/")[2] for source in found.sources) == ["a.mp4", "b.mp4", "c.mp4"]
    assert len(found.duplicates) == 3  # the folder in the folder was given, too
    assert "3 files are others by another name: " in found.notes[0] and "is the same file as" in found.notes[0]
    done = avcorr.shard(folder, tmp_path / "root", settings=SMALL)
    assert (done.inputs, done.packed, done.skipped) == (5, 3, 2)
    row = rows_of(tmp_path / "root")["soft.mp4"]
    assert (row["code"], row["message"]) == ("duplicate", "is the same file as a.mp4")
    assert avcorr.verify(tmp_path / "root", full=True).ok


def test_links_in_two_splits_are_refused(folder: Path) -> None:
    for name in ("train", "test"):
        (folder / name).mkdir()
        os.link(folder / "a.mp4", folder / name / f"{name}.mp4")
    (folder / "a.mp4").unlink()
    with pytest.raises(SourceError, match="is the same file as .*, given for (train and for test|test and for train)"):
        find_sources(folder)


def test_spans_of_one_video_are_several_inputs(folder: Path, tmp_path: Path) -> None:
    rows = ["path,start,end", "a.mp4,0,0.5", "a.mp4,0.5,1", "a.mp4,0,0.5", "b.mp4,0,0.5"]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    found = find_sources(folder / "list.csv")
    assert (len(found.sources), len(found.duplicates)) == (3, 1)
