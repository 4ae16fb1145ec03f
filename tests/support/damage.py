"""Ways to damage a dataset: its shards are taken apart, changed in one way and put together again."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing as closing_database
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from avcorr.shards.checks.archive_check import scan_shard
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.format.tar import BLOCK, closing, encode_member, iter_members
from avcorr.shards.index.layout import INDEX, LEDGER, MANIFEST, RECORDS, TABLES, ShardName
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.index.record import read_record
from avcorr.shards.index.shard_list import iter_entries, write_manifest
from tests.support.tables import keys_of

NAME, LATER = ShardName("clips", "train", 0), ShardName("clips", "train", 1)
WIDS, DALI = f"{INDEX}/wids-train.json", f"{INDEX}/dali/train/clips-train-000000.idx"
DATABASE = ".nv-meta/index.sqlite"
Damage = Callable[[Path], None]
Members = list[tuple[str, bytes]]


def read_members(path: Path) -> Members:
    with path.open("rb") as file:
        return [(member.name, content.read()) for member, content in iter_members(file)]


def seal(root: Path, name: ShardName = NAME) -> None:
    """Let record and manifest tell size and checksums of the shard as it is now: only its content can betray it."""
    path, data = root / name.record, (root / name.path).read_bytes()
    record = json.loads(path.read_text())
    record |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data).hexdigest()}
    path.write_text(json.dumps(record))
    try:
        finish_dataset(root)
    except ShardFormatError:  # no table says so of such a shard
        write_manifest(root, iter_entries(root))


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


def edit_frames(change: Callable[[bytes], bytes], **fields: Any) -> Damage:
    """Return a damage that changes every frame of a shard, and fields of the metadata, and lets the table agree."""

    def edit(members: Members) -> None:
        for number in range(0, len(members), 3):
            values, frames = json.loads(members[number][1]) | fields, members[number + 2][1]
            changed = [change(frames[start:stop]) for start, stop in pairwise(values["frame_offsets"])]
            values["frame_offsets"] = [0, *accumulate(map(len, changed))]
            members[number] = members[number][0], json.dumps(values).encode()
            members[number + 2] = members[number + 2][0], b"".join(changed)

    def damage(root: Path) -> None:
        rebuild(edit)(root)
        data, digest = scan_shard(root, NAME.path).table.encode()
        (root / NAME.table).write_bytes(data)
        edit_record(lambda record: record.update(clips_digest=digest))(root)
        vouch(root)

    return damage


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
        path = root / name.record
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

    return damage


def forget_last(record: dict[str, Any]) -> None:
    """Take the last clip out of a record everywhere, so that the record agrees with itself."""
    record["clips"] -= 1
    next(row for row in reversed(record["ledger"]) if row["status"] == "packed")["status"] = "failed"


def shard_path(root: Path, name: ShardName) -> Path:
    return root / name.path


def cut(choose: Callable[[Path], int]) -> Damage:
    def damage(root: Path) -> None:
        os.truncate(root / NAME.path, choose(root / NAME.path))

    return damage


def end_of(path: Path, count: int) -> int:
    with path.open("rb") as file:
        member = [member for member, _ in iter_members(file)][count - 1]
    return member.offset + member.size + -member.size % BLOCK


def flip(choose: Callable[[Path], int], place: Callable[[Path, ShardName], Path] = shard_path) -> Damage:
    def damage(root: Path) -> None:
        path = place(root, NAME)
        data = bytearray(path.read_bytes())
        data[choose(path)] ^= 0x01
        path.write_bytes(data)

    return damage


def cut_and_close(number: int) -> Damage:
    """Keep the first members only, in a whole archive whose record tells its size."""
    return rebuild(lambda members: members[:number])


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

    def damage(root: Path) -> None:
        old = keys_of(root, read_record(root / NAME.record))[0]
        rebuild(change)(root)

        def change_record(record: dict[str, Any]) -> None:
            next(row for row in record["ledger"] if row["key"] == old)["key"] = key

        edit_record(change_record)(root)
        rows = [
            row for path in sorted((root / RECORDS).glob("*.json")) for row in json.loads(path.read_bytes())["ledger"]
        ]
        (root / LEDGER).write_text("".join(json.dumps(row) + "\n" for row in rows))

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
        path = root / LEDGER
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return damage


def drop_shard(name: ShardName) -> Damage:
    def damage(root: Path) -> None:
        (root / name.path).unlink()
        (root / name.record).unlink()

    return damage


def fail_all(root: Path) -> None:
    """Let the index say that no input gave a clip."""
    for folder in ("train", "test", ".nv-meta", TABLES, f"{INDEX}/dali"):
        shutil.rmtree(root / folder)
    rows: list[dict[str, Any]] = []
    for path in (root / RECORDS).glob("*.json"):
        record = json.loads(path.read_bytes())
        record |= {"size": 10240, "clips": 0, "frames": 0, "seconds": 0.0, "table_sha256": "", "clips_digest": ""}
        record["ledger"] = [row | {"status": "failed", "code": "no_audio"} for row in record["ledger"]]
        path.write_text(json.dumps(record))
        rows += record["ledger"]
    write_ledger(root, rows)
    finish_dataset(root)


def set_bytes(start: int, value: bytes) -> Callable[[bytearray], None]:
    def edit(data: bytearray) -> None:
        data[start : (start + len(value)) or None] = value

    return edit


def second_size(data: bytearray) -> None:
    """Claim another height in the second frame's header."""
    place = data.index(b"\xff\xc0", data.index(b"\xff\xd9\xff\xd8"))
    data[place + 5 : place + 7] = (1000).to_bytes(2)


def exchange_tables(root: Path) -> None:
    one, other = root / NAME.table, root / LATER.table
    data = one.read_bytes()
    other.replace(one)
    other.write_bytes(data)


def vouch(root: Path, name: ShardName = NAME) -> None:
    """Let record, manifest and all that follows agree with the file of the table as it is now."""
    digest = hashlib.sha256((root / name.table).read_bytes()).hexdigest()
    edit_record(lambda record: record.update(table_sha256=digest), name)(root)
    write_manifest(root, iter_entries(root))


def edit_table(change: Callable[[Any], Any]) -> Damage:
    """Return a damage that changes a table (pyarrow), and lets the record vouch for the file."""

    def damage(root: Path) -> None:
        path = root / NAME.table
        pq.write_table(change(pq.read_table(path)), path)
        vouch(root)

    return damage


def edit_column(name: str, change: Callable[[list[Any]], list[Any]]) -> Damage:
    """Return a damage that changes the values of one column of a table."""

    def edit(table: Any) -> Any:
        field = table.schema.field(name)
        values = pa.array(change(table[name].to_pylist()), field.type)
        return table.set_column(table.schema.get_field_index(name), field, values)

    return edit_table(edit)


def edit_manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(root: Path) -> None:
        path = root / MANIFEST
        values = json.loads(path.read_bytes())
        change(values)
        path.write_text(json.dumps(values))

    return damage


def edit_file(name: str, old: bytes, new: bytes) -> Damage:
    """Return a damage that puts other bytes in place of the first ones like these."""

    def damage(root: Path) -> None:
        data = (root / name).read_bytes()
        assert old in data
        (root / name).write_bytes(data.replace(old, new, 1))

    return damage


def query(text: str) -> Damage:
    def damage(root: Path) -> None:
        with closing_database(sqlite3.connect(root / DATABASE)) as database, database:
            assert database.execute(text).rowcount == 1

    return damage
