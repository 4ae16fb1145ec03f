"""Damage of every kind is found by `verify`, and a cut shard by the reader too."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import ShardError, ShardTruncatedError
from shards.index import HIDDEN, Index
from shards.reader import read_clips
from shards.tar import BLOCK, iter_members
from shards.verify import verify

Damage = Callable[[Path], None]


def first_shard(root: Path) -> Path:
    return root / Index(root).shards[0].path


def cut(choose: Callable[[Path], int]) -> Damage:
    def damage(root: Path) -> None:
        path = first_shard(root)
        data = path.read_bytes()
        path.write_bytes(data[: choose(path)])

    return damage


def members_end(path: Path, count: int) -> int:
    with path.open("rb") as file:
        member = [member for member, _ in iter_members(file)][count - 1]
    return member.offset + member.size + -member.size % BLOCK


def flip(root: Path) -> None:
    path = first_shard(root)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def change_record(change: Callable[[dict], None]) -> Damage:
    def damage(root: Path) -> None:
        path = sorted((root / HIDDEN / "shards").glob("*.json"))[0]
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    return damage


def remove_member(root: Path) -> None:
    """Take a member out and keep size and end as they were."""
    path = first_shard(root)
    data = path.read_bytes()
    with path.open("rb") as file:
        member = [member for member, _ in iter_members(file)][1]
    start, end = member.offset - BLOCK, member.offset + member.size + -member.size % BLOCK
    path.write_bytes(data[:start] + data[end:] + bytes(end - start))


DAMAGES: dict[str, tuple[Damage, bool, str]] = {
    "at a sample's edge": (cut(lambda path: members_end(path, 3)), True, "shard"),
    "inside a sample": (cut(lambda path: members_end(path, 4)), True, "shard"),
    "inside a header": (cut(lambda path: members_end(path, 4) + 100), True, "shard"),
    "inside data": (cut(lambda path: members_end(path, 4) + BLOCK + 10), True, "shard"),
    "only the closing blocks": (cut(lambda path: members_end(path, 12)), True, "shard"),
    "missing": (lambda root: first_shard(root).unlink(), True, "shard"),
    "empty": (cut(lambda path: 0), True, "shard"),
    "a flipped byte": (flip, False, "shard"),
    "a member taken out": (remove_member, False, "shard"),
    "an extra shard": (lambda root: shutil.copy(first_shard(root), root / "train" / "x.tar"), True, "extra"),
    "a clip too many in the index": (
        change_record(lambda record: record["clips"].append(record["clips"][0])),
        True,
        "index",
    ),
    "a clip too few in the index": (change_record(lambda record: record["clips"].pop()), False, "index"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(tmp_path: Path, shards: Path, name: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    assert list(verify(root, full=True)) == []
    damage, quick, code = DAMAGES[name]
    damage(root)
    assert code in {problem.code for problem in verify(root, full=True)}
    assert bool(list(verify(root))) == quick


@pytest.mark.parametrize("name", list(DAMAGES)[:7])
def test_the_reader_refuses_a_cut_shard_before_its_first_clip(tmp_path: Path, shards: Path, name: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    record = Index(root).shards[0]
    DAMAGES[name][0](root)
    with pytest.raises(ShardTruncatedError, match=r"test-000000\.tar"):
        next(read_clips(root, record))


def test_the_reader_sees_damage_that_keeps_the_size(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    remove_member(root)
    with pytest.raises(ShardError, match="lacks its member 'wav'"):
        list(read_clips(root, Index(root).shards[0]))


def test_a_folder_that_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="holds no shards"):
        list(verify(tmp_path))
