"""Repair: whatever was damaged is byte for byte what it was, and what cannot be is said with its reason."""

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import run
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.packing.repair import Repair, repair, repair_settings
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.index.layout import LEDGER, MANIFEST, RECORDS, WORK, ShardName
from avcorr.shards.index.record import read_record
from avcorr.shards.writer import ShardWriter
from tests.conftest import SMALL, MakeVideo
from tests.pipeline.packing.test_pack import digests
from tests.support.cases import CASES
from tests.support.damage import LATER, NAME, edit_record, forget_last

FROM_SHARD = {
    "record lost": CASES["record lost"].damage,
    "record no JSON": CASES["record no JSON"].damage,
    "record with a clip too few": edit_record(forget_last),
    "record with a clip too many": CASES["record with a clip too many"].damage,
    "record of another checksum": CASES["record of another checksum"].damage,
    "record of another md5": CASES["record of another md5"].damage,
    "record of another size": CASES["record of another size"].damage,
    "ledger missing": CASES["ledger missing"].damage,
    "ledger with a row too few": CASES["ledger with a row too few"].damage,
}
FROM_SOURCES = (
    "cut at a clip's edge", "flip in a header", "flip in WAV samples", "shard missing", "number in the middle lost",
    "last number lost",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, shards: Path) -> Path:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    return root


def mend(root: Path, videos: Path | None, **options: bool) -> Repair:
    sources = find_sources(videos) if videos else None
    return repair(root, sources, repair_settings(root), workers=2, **options)


@pytest.mark.parametrize("name", FROM_SHARD)
def test_what_the_shard_tells_needs_no_sources(root: Path, shards: Path, name: str) -> None:
    FROM_SHARD[name](root)
    result = mend(root, None)
    assert not result.failed
    assert list(verify(root, full=True)) == []
    assert digests(root) == digests(shards)
    assert read_record(root / NAME.record) == read_record(shards / NAME.record)
    assert (root / LEDGER).read_bytes() == (shards / LEDGER).read_bytes()


@pytest.mark.parametrize("name", FROM_SOURCES)
def test_what_is_lost_is_made_again_byte_for_byte(root: Path, shards: Path, videos: Path, name: str) -> None:
    CASES[name].damage(root)
    without = mend(root, None)
    assert without.failed and not without.repaired
    result = mend(root, videos)
    assert not result.failed and {NAME.path, LATER.path} & result.repaired.keys()
    assert digests(root) == digests(shards)
    assert list(verify(root, full=True)) == []


def test_all_at_once(root: Path, shards: Path, videos: Path) -> None:
    CASES["cut inside data"].damage(root)
    (root / LATER.record).unlink()
    (root / "test" / "clips-test-000000.tar").unlink()
    (root / LEDGER).unlink()
    result = mend(root, videos)
    shards_made = {path for path in result.repaired if path.endswith(".tar")}
    assert not result.failed and shards_made == {NAME.path, LATER.path, "test/clips-test-000000.tar"}
    assert digests(root) == digests(shards) and list(verify(root, full=True)) == []


def test_a_sound_dataset_is_left_alone(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert mend(root, None) == Repair()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_extra_shards_are_deleted_only_when_asked(root: Path, shards: Path) -> None:
    CASES["extra shard"].damage(root)
    assert list(mend(root, None).failed) == ["train/x.tar"]
    assert (root / "train" / "x.tar").exists()
    assert not mend(root, None, delete_extra=True).failed
    assert digests(root) == digests(shards)


def test_a_changed_source_is_said_and_nothing_replaced(tmp_path: Path, make_video: MakeVideo) -> None:
    folder, root = tmp_path / "videos", tmp_path / "root"
    for number in range(3):
        make_video(folder / f"a{number}.mp4", seconds=1)
    pack(find_sources(folder, test_fraction=0), root, SMALL, workers=2)
    shard = root / ShardName("clips", "train", 0).path
    os.truncate(shard, 20480)
    settings = repair_settings(root)
    good = (folder / "a1.mp4").read_bytes()
    (folder / "a1.mp4").write_bytes(b"")
    result = repair(root, find_sources(folder, test_fraction=0), settings)
    assert "va1 for one was packed and is failed empty" in result.failed["train/clips-train-000000.tar"]
    assert shard.stat().st_size == 20480
    (folder / "a1.mp4").write_bytes(good)
    assert not repair(root, find_sources(folder, test_fraction=0), settings).failed
    assert list(verify(root, full=True)) == []


def test_a_lost_record_and_a_changed_source_are_told_by_the_manifest(root: Path, videos: Path, tmp_path: Path) -> None:
    """Neither the record nor the shard tells any more what was there."""
    (root / NAME.record).unlink()
    os.truncate(root / NAME.path, 10240)
    sources = find_sources(videos)
    path = next(Path(source.path) for source in sources.sources if source.key in keys_of_split(root, "train"))
    changed = shutil.copytree(videos, tmp_path / "changed") / path.relative_to(videos)
    changed.write_bytes(b"")
    before = digests(root)
    result = mend(root, tmp_path / "changed")
    assert "made again, it is not what was recorded" in result.failed[NAME.path]
    assert digests(root) == before and not any((root / WORK).glob(f"{NAME.stem}*"))
    assert not mend(root, videos).failed and list(verify(root, full=True)) == []


def keys_of_split(root: Path, split: str) -> set[str]:
    """Return the keys that the ledger has of a split and no record tells of: those of a shard whose record is lost."""
    known = {row["key"] for path in (root / RECORDS).glob("*.json") for row in read_record(path).ledger}
    rows = map(json.loads, (root / LEDGER).read_text().splitlines())
    return {row["key"] for row in rows if row["split"] == split} - known


def test_what_an_interrupted_retry_left_is_not_taken_up(root: Path, shards: Path, videos: Path) -> None:
    """Neither by the packer, nor for the shard whose record alone is lost."""
    work = root / WORK
    for damage in (lambda: (root / NAME.record).unlink(), lambda: os.truncate(root / NAME.path, 10240)):
        damage()
        work.mkdir(parents=True, exist_ok=True)
        (work / f"{NAME.stem}.tar").write_bytes(b"x" * 1000)
        (work / f"{NAME.stem}.jsonl").write_bytes(b"x")
        assert not mend(root, videos).failed
        assert digests(root) == digests(shards) and list(verify(root, full=True)) == []


def test_an_interrupted_repair_leaves_what_was_there_and_is_run_again(
    root: Path, shards: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (NAME, LATER):
        os.truncate(root / name.path, 10240)
    before, added = all_files(root), itertools.count()
    add = ShardWriter.add

    def stop_at_the_sixth(writer: ShardWriter, *values: Any) -> None:
        if next(added) == 5:
            raise KeyboardInterrupt
        add(writer, *values)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", stop_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            mend(root, videos)
    after = {path: data for path, data in all_files(root).items() if not path.startswith(WORK)}
    changed = {path for path, data in after.items() if before.get(path) != data}
    assert NAME.path in changed and LATER.path not in changed, "one shard is whole again, the other as it was"
    assert not mend(root, videos).failed
    assert digests(root) == digests(shards) and list(verify(root, full=True)) == []


def test_other_sources_are_refused(root: Path, videos: Path) -> None:
    CASES["shard missing"].damage(root)
    result = mend(root, videos / "train")
    assert "was made of 12 inputs, and the source names 8 now" in result.failed[NAME.path]


def test_a_shard_of_failures_loses_a_tar_that_is_not_its(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"")
    root = tmp_path / "root"
    pack(find_sources(tmp_path / "videos", test_fraction=0), root, SMALL, workers=1)
    (root / NAME.record).unlink()
    result = repair(root, find_sources(tmp_path / "videos", test_fraction=0), repair_settings(root))
    assert not result.failed and [problem.code for problem in verify(root, full=True)] == ["no_clip"]


def test_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetMismatchError, match="nothing to repair"):
        repair_settings(tmp_path)


def test_the_command_recalls_the_sources(
    tmp_path: Path, videos: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    options = ["--set", "shard.short_side=48", "--set", "shard.clips_per_shard=4", "--set", "shard.clip_seconds=3"]
    assert run.main(["shard", "--source", str(videos), "--out", str(root), *options]) == 0
    os.truncate(root / NAME.path, 10240)
    capsys.readouterr()
    assert run.main(["verify", str(root), "--json", "--workers", "1"]) == 1
    *problems, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [problem["problem"] for problem in problems] == ["size", "end"]
    assert summary["summary"]["codes"] == {"size": 1, "end": 1} and not summary["summary"]["ok"]
    assert run.main(["repair", str(root), "--workers", "2"]) == 0
    assert f"repaired: {NAME.path}: made again" in capsys.readouterr().out
    assert digests(root) == digests(shards)
    assert run.main(["verify", str(root), "--full"]) == 0


BESIDE = [name for name in CASES if name.startswith(("table", "manifest", "wids", "card", "energon", "DALI"))]


@pytest.mark.parametrize("name", BESIDE)
def test_what_was_derived_from_shards_and_records_is_derived_again(exported: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(exported, root)
    CASES[name].damage(root)
    result = repair(root, None, repair_settings(root))
    assert not result.failed and result.repaired
    assert list(verify(root, full=True)) == []
    assert all_files(root) == all_files(exported)


def all_files(root: Path) -> dict[str, bytes]:
    """Return the content of every file but the databases, whose rows `verify` compares."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != "index.sqlite")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_an_unfinished_dataset_gets_no_manifest(root: Path) -> None:
    """Its presence means a whole dataset, which this is not without the sources."""
    CASES["last number lost"].damage(root)
    (root / MANIFEST).unlink()
    assert mend(root, None).failed
    assert not (root / MANIFEST).exists()
