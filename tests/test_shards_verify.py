"""Each kind of damage has its code: the shards are taken apart, changed in one way and put together again."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shards.errors import ShardError, ShardTruncatedError
from shards.index import HIDDEN, Index, ShardName, read_record, record_path
from shards.problem import CODES
from shards.reader import read_clips
from shards.tar import BLOCK, closing, encode_member, iter_members
from shards.verify import verify

NAME = ShardName("clips", "train", 0)
Damage = Callable[[Path], None]
Members = list[tuple[str, bytes]]


def codes(root: Path, *, full: bool = True) -> set[str]:
    problems = list(verify(root, full=full))
    assert {problem.code for problem in problems} <= set(CODES)
    return {problem.code for problem in problems}


def read_members(path: Path) -> Members:
    with path.open("rb") as file:
        return [(member.name, data) for member, data in iter_members(file)]


def seal(root: Path, name: ShardName = NAME) -> None:
    """Let the record tell size and checksum of the shard as it is now, so that only its content can betray it."""
    path, data = record_path(root, name), (root / name.path).read_bytes()
    record = json.loads(path.read_text())
    record |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(record))


def rebuild(change: Callable[[Members], Members | None], name: ShardName = NAME) -> Damage:
    """Return a damage that changes the members of a shard and seals it."""

    def damage(root: Path) -> None:
        path = root / name.path
        members = read_members(path)
        changed = change(members)
        data = b"".join(encode_member(*member) for member in (members if changed is None else changed))
        path.write_bytes(data + closing(len(data)))
        seal(root, name)

    return damage


def edit_json(**fields: Any) -> Damage:
    """Return a damage that changes fields of the first clip's metadata; a function is given the old value."""

    def change(members: Members) -> None:
        name, data = members[0]
        values = json.loads(data)
        for field, value in fields.items():
            values[field] = value(values[field]) if callable(value) else value
        members[0] = name, json.dumps(values).encode()

    return rebuild(change)


def edit_bytes(number: int, edit: Callable[[bytearray], None]) -> Damage:
    """Return a damage that changes one member's content."""

    def change(members: Members) -> None:
        data = bytearray(members[number][1])
        edit(data)
        members[number] = members[number][0], bytes(data)

    return rebuild(change)


def edit_header(offset: int, value: bytes) -> Damage:
    """Return a damage that changes the second header and its checksum with it."""

    def damage(root: Path) -> None:
        path = root / NAME.path
        with path.open("rb") as file:
            member = [member for member, _ in iter_members(file)][1]
        data = bytearray(path.read_bytes())
        start = member.offset - BLOCK
        data[start + offset : start + offset + len(value)] = value
        data[start + 148 : start + 156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + BLOCK])
        path.write_bytes(data)
        seal(root)

    return damage


def edit_record(change: Callable[[dict[str, Any]], None], name: ShardName = NAME) -> Damage:
    def damage(root: Path) -> None:
        path = record_path(root, name)
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    return damage


def forget_last(record: dict[str, Any]) -> None:
    """Take the last clip out of a record everywhere, so that the record agrees with itself."""
    key = record["clips"].pop()["key"]
    next(row for row in record["ledger"] if row["key"] == key)["status"] = "failed"


def cut(choose: Callable[[Path], int]) -> Damage:
    def damage(root: Path) -> None:
        os.truncate(root / NAME.path, choose(root / NAME.path))

    return damage


def end_of(path: Path, count: int) -> int:
    with path.open("rb") as file:
        member = [member for member, _ in iter_members(file)][count - 1]
    return member.offset + member.size + -member.size % BLOCK


def flip(choose: Callable[[Path], int]) -> Damage:
    def damage(root: Path) -> None:
        path = root / NAME.path
        data = bytearray(path.read_bytes())
        data[choose(path)] ^= 0x01
        path.write_bytes(data)

    return damage


def swap(first: int, second: int) -> Damage:
    def change(members: Members) -> None:
        members[first], members[second] = members[second], members[first]

    return rebuild(change)


def rename_clip(key: str) -> Damage:
    """Return a damage that gives the first clip another key, in names and metadata, in shard and index."""

    def change(members: Members) -> None:
        values = json.loads(members[0][1]) | {"key": key}
        members[0] = f"{key}.json", json.dumps(values).encode()
        for number in (1, 2):
            members[number] = f"{key}.{members[number][0].partition('.')[2]}", members[number][1]

    def change_record(record: dict[str, Any]) -> None:
        old = record["clips"][0]["key"]
        record["clips"][0]["key"] = next(row for row in record["ledger"] if row["key"] == old)["key"] = key

    def damage(root: Path) -> None:
        rebuild(change)(root)
        with (root / NAME.path).open("rb") as file:
            offsets = [member.offset - BLOCK for member, _ in iter_members(file)][::3]
        edit_record(change_record)(root)
        edit_record(lambda record: [clip.update(offset=o) for clip, o in zip(record["clips"], offsets, strict=True)])(
            root
        )
        rows = [
            dict(row) for path in sorted((root / HIDDEN / "shards").glob("*.json")) for row in read_record(path).ledger
        ]
        (root / HIDDEN / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    return damage


def as_pax(root: Path) -> None:
    """Write the shard again as Python's tarfile does by default where a time has a fraction."""
    members = read_members(root / NAME.path)
    with tarfile.open(root / NAME.path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 0.5, 0o444
            archive.addfile(info, io.BytesIO(data))
    seal(root)


def copy_shard(target: str) -> Damage:
    def damage(root: Path) -> None:
        (root / target).parent.mkdir(exist_ok=True)
        shutil.copy(root / NAME.path, root / target)

    return damage


def append(count: int, value: bytes = b"\0") -> Damage:
    def damage(root: Path) -> None:
        with (root / NAME.path).open("ab") as file:
            file.write(value * count)
        seal(root)

    return damage


def edit_ledger(change: Callable[[list[str]], list[str]]) -> Damage:
    def damage(root: Path) -> None:
        path = root / HIDDEN / "ledger.jsonl"
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return damage


def drop_shard(name: ShardName) -> Damage:
    def damage(root: Path) -> None:
        (root / name.path).unlink()
        record_path(root, name).unlink()

    return damage


def set_bytes(start: int, value: bytes) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[start : (start + len(value)) or None] = value

    return edit


def second_size(data: bytearray) -> None:
    """Claim another height in the second frame's header."""
    place = data.index(b"\xff\xc0", data.index(b"\xff\xd9\xff\xd8"))
    data[place + 5 : place + 7] = (1000).to_bytes(2)


@dataclass(frozen=True)
class Case:
    damage: Damage
    full: Set[str]
    quick: Set[str] = frozenset()


LATER = ShardName("clips", "train", 1)
CASES: dict[str, Case] = {
    # the truncation table: what every tar reader takes for a whole archive
    "cut at a clip's edge": Case(cut(lambda p: end_of(p, 3)), {"size", "end", "count"}, {"size", "end"}),
    "cut inside a clip": Case(cut(lambda p: end_of(p, 4)), {"size", "end", "members", "count"}, {"size", "end"}),
    "cut inside a header": Case(
        cut(lambda p: end_of(p, 4) + 100), {"size", "end", "members", "count"}, {"size", "end"}
    ),
    "cut inside data": Case(
        cut(lambda p: end_of(p, 4) + BLOCK + 10), {"size", "end", "members", "count"}, {"size", "end"}
    ),
    "closing blocks missing": Case(cut(lambda p: end_of(p, 12)), {"size", "end"}, {"size", "end"}),
    "one closing block": Case(cut(lambda p: end_of(p, 12) + BLOCK), {"size", "end"}, {"size", "end"}),
    "empty file": Case(cut(lambda p: 0), {"size", "end", "count"}, {"size", "end"}),
    # one flipped bit
    "flip in a header": Case(flip(lambda p: end_of(p, 1) + 2), {"checksum", "header", "members", "count"}),
    "flip in JSON text": Case(flip(lambda p: p.read_bytes().index(b'"video":"') + 12), {"checksum", "stale"}),
    "flip in WAV samples": Case(flip(lambda p: end_of(p, 1) + BLOCK + 1000), {"checksum"}),
    "flip in WAV header": Case(flip(lambda p: end_of(p, 1) + BLOCK + 24), {"checksum", "sound"}),
    "flip in a JPEG's scan": Case(flip(lambda p: end_of(p, 2) + BLOCK + 700), {"checksum"}),
    "flip in a JPEG's start": Case(flip(lambda p: end_of(p, 2) + BLOCK + 1), {"checksum", "jpeg"}),
    "flip in padding": Case(flip(lambda p: end_of(p, 1) - 1), {"checksum", "padding"}),
    "flip in the closing zeros": Case(flip(lambda p: p.stat().st_size - 600), {"checksum", "end"}, {"end"}),
    # members
    "member missing": Case(rebuild(lambda m: m[:1] + m[2:]), {"members", "count"}),
    "member too many": Case(rebuild(lambda m: [*m[:3], (m[0][0][:-4] + "txt", b"x"), *m[3:]]), {"members", "count"}),
    "foreign member": Case(rebuild(lambda m: [*m, ("notes.txt", b"x")]), {"members"}),
    "members in another order": Case(swap(1, 2), {"members", "count"}),
    "members apart": Case(swap(2, 3), {"not_adjacent", "count"}),
    "members far apart": Case(rebuild(lambda m: m[:2] + m[3:] + m[2:3]), {"not_adjacent", "count"}),
    "clip twice": Case(rebuild(lambda m: m + m[:3]), {"duplicate_key", "count"}),
    "clip twice side by side": Case(rebuild(lambda m: m[:3] + m), {"duplicate_key", "count"}),
    "clip missing": Case(rebuild(lambda m: m[:-3]), {"count"}),
    "clips in another order": Case(rebuild(lambda m: m[3:6] + m[:3] + m[6:]), {"stale"}),
    "key with a capital first": Case(rename_clip("Vclip"), {"key"}),
    "key with a space": Case(rename_clip("v clip"), {"key"}),
    "key of another clip but for case": Case(
        lambda root: rename_clip(read_record(record_path(root, NAME)).clips[1].key.swapcase().replace("V", "v", 1))(
            root
        ),
        {"duplicate_key"},
    ),
    "key of another shard's clip": Case(
        lambda root: rename_clip(read_record(record_path(root, LATER)).clips[1].key)(root),
        {"duplicate_key"},
        {"duplicate_key"},
    ),
    # headers
    "time in a header": Case(edit_header(136, b"00000000001"), {"header"}),
    "owner in a header": Case(edit_header(108, b"0001750"), {"header"}),
    "owner's name in a header": Case(edit_header(265, b"root"), {"header"}),
    "mode in a header": Case(edit_header(100, b"0000644"), {"header"}),
    "link": Case(edit_header(156, b"2"), {"header", "members", "count"}),
    "old type": Case(edit_header(156, b"\0"), {"header"}),
    "GNU format": Case(edit_header(257, b"ustar  \0"), {"header"}),
    "PAX format": Case(as_pax, {"header", "stale"}),
    # the end
    "more zeros than a record": Case(append(512), {"end"}, {"end"}),
    "data behind the end": Case(append(10240, b"x"), {"end"}, {"end"}),
    # metadata
    "metadata no JSON": Case(edit_bytes(0, set_bytes(0, b"[")), {"metadata"}),
    "metadata nested without end": Case(rebuild(lambda m: [(m[0][0], b"[" * 200000), *m[1:]]), {"metadata", "stale"}),
    "metadata a list": Case(rebuild(lambda m: [(m[0][0], b"[1]"), *m[1:]]), {"metadata", "stale"}),
    "null": Case(edit_json(label=None), {"metadata"}),
    "null in an unknown field": Case(edit_json(later=None), {"metadata"}),
    "empty list": Case(edit_json(frame_times=[]), {"metadata"}),
    "int for float": Case(edit_json(start=0), {"metadata"}),
    "int among floats": Case(edit_json(frame_times=lambda old: [0, *old[1:]]), {"metadata"}),
    "float for int": Case(edit_json(width=lambda old: float(old)), {"metadata"}),
    "bool for int": Case(edit_json(source_width=True), {"metadata"}),
    "text for bool": Case(edit_json(damaged="no"), {"metadata"}),
    "not a number": Case(edit_json(loudness=float("nan")), {"metadata"}),
    "huge sample count": Case(edit_json(sample_count=10**12), {"metadata"}),
    "peak over 1": Case(edit_json(peak=1.5), {"metadata"}),
    "another format": Case(edit_json(format=2), {"metadata"}),
    "another split": Case(edit_json(split="test"), {"split"}),
    "another key": Case(edit_json(key="vother"), {"key", "stale"}),
    # sound
    "sample count": Case(edit_json(sample_count=lambda old: old - 1), {"sound"}),
    "sample rate": Case(edit_json(sample_rate=8000), {"sound"}),
    "sound cut": Case(edit_bytes(1, lambda data: data.__delitem__(slice(-100, None))), {"sound"}),
    "no RIFF": Case(edit_bytes(1, set_bytes(0, b"RIFX")), {"sound"}),
    # frames
    "times that fall": Case(edit_json(frame_times=lambda old: [old[1], old[0], *old[2:]]), {"times"}),
    "time twice": Case(edit_json(frame_times=lambda old: [old[0], old[0], *old[2:]]), {"times"}),
    "time before 0": Case(edit_json(frame_times=lambda old: [-0.1, *old[1:]]), {"times"}),
    "time behind the clip": Case(edit_json(frame_times=lambda old: [*old[:-1], 3.5]), {"times"}),
    "offset inside a JPEG": Case(edit_json(frame_offsets=lambda old: [0, old[1] + 1, *old[2:]]), {"jpeg"}),
    "offset too few": Case(edit_json(frame_offsets=lambda old: [*old[:-2], old[-1]]), {"frames"}),
    "offset behind the end": Case(edit_json(frame_offsets=lambda old: [*old[:-1], old[-1] + 1]), {"frames"}),
    "two JPEGs as one": Case(
        edit_json(frame_offsets=lambda old: [0, *old[2:]], frame_times=lambda old: [old[0], *old[2:]]),
        {"jpeg", "stale"},
    ),
    "JPEG without its end": Case(edit_bytes(2, set_bytes(-2, b"\0\0")), {"jpeg"}),
    "JPEG without its start": Case(edit_bytes(2, set_bytes(0, b"\0\0")), {"jpeg"}),
    "JPEG of another kind": Case(edit_bytes(2, lambda d: set_bytes(d.index(b"\xff\xc0"), b"\xff\xc2")(d)), {"jpeg"}),
    "JPEG of another size": Case(edit_json(width=lambda old: old + 2), {"jpeg_size"}),
    "one JPEG of another size": Case(edit_bytes(2, second_size), {"jpeg_size"}),
    # shards and index
    "shard missing": Case(lambda root: (root / NAME.path).unlink(), {"missing_shard"}, {"missing_shard"}),
    "shard a folder": Case(
        lambda root: ((root / NAME.path).unlink(), (root / NAME.path).mkdir()), {"unreadable"}, {"unreadable"}
    ),
    "shard of another number": Case(
        lambda root: (shutil.copy(root / LATER.path, root / NAME.path), seal(root)), {"stale", "duplicate_key"}
    ),
    "extra shard": Case(copy_shard("train/x.tar"), {"extra_shard"}, {"extra_shard"}),
    "extra shard in a new folder": Case(copy_shard("old/clips-train-000000.tar"), {"extra_shard"}, {"extra_shard"}),
    "shard without a record": Case(copy_shard("train/clips-train-000007.tar"), {"missing_record"}, {"missing_record"}),
    "record lost": Case(
        lambda root: record_path(root, NAME).unlink(),
        {"missing_record", "unfinished"},
        {"missing_record", "unfinished"},
    ),
    "number in the middle lost": Case(
        drop_shard(NAME), {"missing_shard", "unfinished"}, {"missing_shard", "unfinished"}
    ),
    "last number lost": Case(drop_shard(LATER), {"unfinished"}, {"unfinished"}),
    "record no JSON": Case(lambda root: record_path(root, NAME).write_bytes(b"{"), {"record"}, {"record"}),
    "record of another shard": Case(
        lambda root: shutil.copy(record_path(root, LATER), record_path(root, NAME)),
        {"record"},
        {"record"},
    ),
    "record with a clip too many": Case(
        edit_record(lambda record: record["clips"].append(record["clips"][0])), {"record"}, {"record"}
    ),
    "record with a clip too few": Case(edit_record(forget_last), {"count", "ledger"}, {"ledger"}),
    "record of another size": Case(
        edit_record(lambda record: record.update(size=record["size"] + 10240)), {"size"}, {"size"}
    ),
    "record of another checksum": Case(edit_record(lambda record: record.update(sha256="0" * 64)), {"checksum"}),
    "record with another label": Case(edit_record(lambda record: record["clips"][1].update(label="dog")), {"stale"}),
    "ledger missing": Case(lambda root: (root / HIDDEN / "ledger.jsonl").unlink(), {"ledger"}, {"ledger"}),
    "ledger with a row too few": Case(edit_ledger(lambda lines: lines[1:]), {"ledger"}, {"ledger"}),
    "ledger with another row": Case(
        edit_ledger(lambda lines: [lines[0].replace("packed", "failed"), *lines[1:]]), {"ledger"}, {"ledger"}
    ),
    "ledger no JSON": Case(edit_ledger(lambda lines: [*lines, "{\n"]), {"ledger"}, {"ledger"}),
    "something left over": Case(
        lambda root: (root / HIDDEN / "work" / "train-000009.tar").write_bytes(b"x"), {"work"}, {"work"}
    ),
}


@pytest.fixture
def root(tmp_path: Path, shards: Path) -> Path:
    """A dataset to damage."""
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    return root


def test_the_undamaged_dataset_has_no_problem(shards: Path) -> None:
    for full in (False, True):
        for workers in (1, 2):
            assert list(verify(shards, full=full, workers=workers)) == []


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
    assert problem.path == NAME.path and problem.key == read_record(record_path(root, NAME)).clips[0].key
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


CUTS = [name for name in CASES if name.startswith("cut")] + ["closing blocks missing", "empty file", "shard missing"]


@pytest.mark.parametrize("name", CUTS)
def test_the_reader_refuses_a_cut_shard_before_its_first_clip(root: Path, name: str) -> None:
    record = read_record(record_path(root, NAME))
    CASES[name].damage(root)
    with pytest.raises(ShardTruncatedError, match=r"train-000000\.tar"):
        next(read_clips(root, record))


def test_the_reader_sees_damage_that_keeps_the_size(root: Path) -> None:
    CASES["member missing"].damage(root)
    with pytest.raises(ShardError, match="lacks its member 'wav'"):
        list(read_clips(root, read_record(record_path(root, NAME))))


def test_a_folder_that_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="holds no shards"):
        list(verify(tmp_path))


def test_the_index_of_a_sound_dataset_is_whole(shards: Path) -> None:
    assert len(Index(shards).shards) == 3
