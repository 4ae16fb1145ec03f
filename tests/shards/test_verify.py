"""Each kind of damage has its code, and the reader refuses what would be a shorter dataset to other readers."""

import os
import shutil
from pathlib import Path

import pytest

from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.checks.problem import CODES
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardError, ShardTruncatedError
from avcorr.shards.exports.dataset_card import CARD
from avcorr.shards.index.layout import MANIFEST
from avcorr.shards.index.record import read_record
from avcorr.shards.reader import read_clips
from tests.support.cases import CASES
from tests.support.damage import LATER, NAME, WIDS, drop_shard, seal
from tests.support.tables import keys_of


def codes(root: Path, *, full: bool = True) -> set[str]:
    problems = list(verify(root, full=full))
    assert {problem.code for problem in problems} <= set(CODES)
    return {problem.code for problem in problems}


@pytest.fixture
def root(tmp_path: Path, exported: Path) -> Path:
    """A dataset to damage."""
    root = tmp_path / "root"
    shutil.copytree(exported, root)
    return root


def test_the_undamaged_dataset_has_no_problem(shards: Path, exported: Path) -> None:
    for full in (False, True):
        for workers in (1, 2):
            assert list(verify(shards, full=full, workers=workers)) == []
            assert list(verify(exported, full=full, workers=workers)) == []


def test_an_unfinished_dataset_lacks_no_manifest(root: Path) -> None:
    """Only the run that reaches the end writes one."""
    drop_shard(LATER)(root)
    (root / MANIFEST).unlink()
    assert codes(root) == {"unfinished"}


def test_what_users_may_change_is_no_problem(root: Path) -> None:
    card = (root / CARD).read_text()
    (root / CARD).write_text(card.replace("Rights in the videos", "All rights in the videos"))
    for name in ("dataset.yaml", "split.yaml"):
        (root / ".nv-meta" / name).write_text("x: 1\n")
    assert codes(root) == set()
    (root / CARD).write_text("my own card\n")
    assert codes(root) == set()


def test_a_stale_manifest_names_a_shard(root: Path) -> None:
    CASES["manifest with another count"].damage(root)
    (problem,) = verify(root)
    assert problem.path == MANIFEST and "test/clips-test-000000.tar for one" in problem.message


@pytest.mark.parametrize("name", CASES)
def test_damage_has_its_code(root: Path, name: str) -> None:
    case = CASES[name]
    case.damage(root)
    assert codes(root) == case.full
    assert codes(root, full=False) == case.quick


def test_every_code_is_shown_by_a_case() -> None:
    assert set().union(*(case.full for case in CASES.values())) == set(CODES)


def test_workers_find_the_same_in_the_same_order(root: Path) -> None:
    CASES["flip in a header"].damage(root)
    CASES["extra shard"].damage(root)
    os.truncate(root / LATER.path, 20480)
    assert list(verify(root, full=True, workers=2)) == list(verify(root, full=True))
    assert list(verify(root, workers=2)) == list(verify(root))


def test_a_problem_is_told_once_with_its_clip(root: Path) -> None:
    CASES["one JPEG of another size"].damage(root)
    (problem,) = verify(root, full=True)
    assert problem.path == NAME.path and problem.key == keys_of(root, read_record(root / NAME.record))[0]
    assert problem.message == "its frame 1 is 64 x 1000; the metadata say 64 x 48"
    assert problem.where == f"{problem.path} {problem.key}" and problem.is_failure
    assert set(problem.to_json()) == {"problem", "severity", "path", "key", "message"}


def test_what_is_left_over_is_no_failure(root: Path) -> None:
    CASES["something left over"].damage(root)
    assert [problem.is_failure for problem in verify(root, full=True)] == [False]


def test_any_flipped_byte_is_found(root: Path) -> None:
    """At places all over a shard."""
    path = root / NAME.path
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 60):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        assert "checksum" in codes(root), place


def test_any_cut_is_found_quickly(root: Path) -> None:
    path = root / NAME.path
    data = path.read_bytes()
    for size in [*range(0, len(data), len(data) // 40), len(data) - 1, len(data) - 512]:
        path.write_bytes(data[:size])
        assert "size" in codes(root, full=False), size


@pytest.mark.parametrize("name", [MANIFEST, WIDS, NAME.table, f"{NAME.path}.idx"])
def test_any_flipped_byte_of_the_index_is_found_quickly(root: Path, name: str) -> None:
    path = root / name
    data = path.read_bytes()
    for place in range(0, len(data), max(1, len(data) // 60)):
        changed = bytearray(data)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        assert codes(root, full=False) & {"manifest", "export", "table"}, place


TRUNCATIONS = (
    "cut at a clip's edge", "cut inside a clip", "cut inside a header", "cut inside data", "closing blocks missing",
)  # fmt: skip
"""Each of these is a whole archive to at least one of webdataset, Hugging Face, wids, GNU tar and energon."""
CUTS = [*TRUNCATIONS, "one closing block", "empty file", "shard missing"]


@pytest.mark.parametrize("name", CUTS)
def test_the_reader_refuses_a_cut_shard_before_its_first_clip(root: Path, name: str) -> None:
    record = read_record(root / NAME.record)
    CASES[name].damage(root)
    with pytest.raises(ShardTruncatedError, match=r"train-000000\.tar"):
        next(read_clips(root, record))


@pytest.mark.parametrize("name", [*CUTS[:-1], "cut at a clip's edge and closed again"])
def test_the_reader_refuses_a_cut_shard_whose_record_tells_the_same_size(root: Path, name: str) -> None:
    CASES[name].damage(root)
    seal(root)
    with pytest.raises(ShardTruncatedError, match=r"train-000000\.tar"):
        list(read_clips(root, read_record(root / NAME.record)))
    assert codes(root) & {"end", "count", "record"}


def test_the_reader_sees_damage_that_keeps_the_size(root: Path) -> None:
    CASES["member missing"].damage(root)
    with pytest.raises(ShardError, match="lacks its member 'wav'"):
        list(read_clips(root, read_record(root / NAME.record)))


def test_a_folder_that_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="holds no shards"):
        list(verify(tmp_path))


def test_the_index_of_a_sound_dataset_is_whole(shards: Path) -> None:
    assert len(Dataset(shards).records) == 3
