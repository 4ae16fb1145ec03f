"""Each kind of damage with the codes that `verify` has for it."""

import os
import shutil
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from avcorr.files import write_atomically
from avcorr.shards.exports.dataset_card import CARD
from avcorr.shards.format.tar import BLOCK
from avcorr.shards.index.layout import INDEX, LEDGER, MANIFEST, WORK, ShardName
from avcorr.shards.index.record import read_record
from tests.support.damage import (
    DALI,
    DATABASE,
    LATER,
    NAME,
    WIDS,
    Damage,
    append,
    as_pax,
    copy_shard,
    cut,
    cut_and_close,
    drop_shard,
    edit_bytes,
    edit_column,
    edit_file,
    edit_header,
    edit_json,
    edit_ledger,
    edit_manifest,
    edit_record,
    edit_table,
    end_of,
    exchange_tables,
    fail_all,
    flip,
    forget_last,
    query,
    rebuild,
    rename_clip,
    seal,
    second_size,
    set_bytes,
    swap,
    vouch,
)
from tests.support.tables import keys_of


def second_key(root: Path, name: ShardName) -> str:
    return keys_of(root, read_record(root / name.record))[1]


@dataclass(frozen=True)
class Case:
    damage: Damage
    full: Set[str]
    quick: Set[str] = frozenset()


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
    "cut at a clip's edge and closed again": Case(cut_and_close(3), {"count", "table", "export"}, {"table", "export"}),
    "cut inside a clip and closed again": Case(
        cut_and_close(4), {"count", "members", "table", "export"}, {"table", "export"}
    ),
    "empty file": Case(cut(lambda p: 0), {"size", "end", "count"}, {"size", "end"}),
    # one flipped bit
    "flip in a header": Case(flip(lambda p: end_of(p, 1) + 2), {"checksum", "header", "members", "count"}),
    "flip in JSON text": Case(flip(lambda p: p.read_bytes().index(b'"video":"') + 12), {"checksum", "table"}),
    "flip in WAV samples": Case(flip(lambda p: end_of(p, 1) + BLOCK + 1000), {"checksum"}),
    "flip in WAV header": Case(flip(lambda p: end_of(p, 1) + BLOCK + 24), {"checksum", "sound"}),
    "flip in a JPEG's scan": Case(flip(lambda p: end_of(p, 2) + BLOCK + 700), {"checksum"}),
    "flip in a JPEG's start": Case(flip(lambda p: end_of(p, 2) + BLOCK + 1), {"checksum", "jpeg"}),
    "flip in padding": Case(flip(lambda p: end_of(p, 1) - 1), {"checksum", "padding"}),
    "flip in the closing zeros": Case(flip(lambda p: p.stat().st_size - 600), {"checksum", "end"}, {"end"}),
    # members
    "member missing": Case(
        rebuild(lambda m: m[:1] + m[2:]), {"members", "count", "table", "export"}, {"table", "export"}
    ),
    "member too many": Case(rebuild(lambda m: [*m[:3], (m[0][0][:-4] + "txt", b"x"), *m[3:]]), {"members", "count"}),
    "foreign member": Case(rebuild(lambda m: [*m, ("notes.txt", b"x")]), {"members"}),
    "members in another order": Case(swap(1, 2), {"members", "count"}),
    "members apart": Case(swap(2, 3), {"not_adjacent", "count"}),
    "members far apart": Case(rebuild(lambda m: m[:2] + m[3:] + m[2:3]), {"not_adjacent", "count"}),
    "clip twice": Case(rebuild(lambda m: m + m[:3]), {"duplicate_key", "count"}),
    "clip twice side by side": Case(rebuild(lambda m: m[:3] + m), {"duplicate_key", "count"}),
    "clip missing": Case(rebuild(lambda m: m[:-3]), {"count", "table", "export"}, {"table", "export"}),
    "clips in another order": Case(rebuild(lambda m: m[3:6] + m[:3] + m[6:]), {"table"}),
    "key with a capital first": Case(rename_clip("Vclip"), {"record"}, {"record"}),
    "key with a space": Case(rename_clip("v clip"), {"record"}, {"record"}),
    "key of another clip but for case": Case(
        lambda root: rename_clip(second_key(root, NAME).swapcase().replace("V", "v", 1))(root),
        {"duplicate_key", "table"},
        {"table"},
    ),
    "key of another shard's clip": Case(
        lambda root: rename_clip(second_key(root, LATER))(root),
        {"duplicate_key", "table"},
        {"table"},
    ),
    # headers
    "time in a header": Case(edit_header(136, b"00000000001"), {"header"}),
    "owner in a header": Case(edit_header(108, b"0001750"), {"header"}),
    "owner's name in a header": Case(edit_header(265, b"root"), {"header"}),
    "mode in a header": Case(edit_header(100, b"0000644"), {"header"}),
    "link": Case(edit_header(156, b"2"), {"header", "members", "count"}),
    "old type": Case(edit_header(156, b"\0"), {"header"}),
    "GNU format": Case(edit_header(257, b"ustar  \0"), {"header"}),
    "PAX format": Case(as_pax, {"header"}),
    # the end
    "more zeros than a record": Case(append(512), {"end"}, {"end"}),
    "data behind the end": Case(append(10240, b"x"), {"end"}, {"end"}),
    # metadata
    "metadata no JSON": Case(edit_bytes(0, set_bytes(0, b"[")), {"metadata"}),
    "metadata nested without end": Case(rebuild(lambda m: [(m[0][0], b"[" * 200000), *m[1:]]), {"metadata"}),
    "metadata a list": Case(rebuild(lambda m: [(m[0][0], b"[1]"), *m[1:]]), {"metadata"}),
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
    "another key": Case(edit_json(key="vother"), {"key"}),
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
        {"jpeg"},
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
        lambda root: (shutil.copy(root / LATER.path, root / NAME.path), seal(root)),
        {"duplicate_key", "table"},
    ),
    "extra shard": Case(copy_shard("train/x.tar"), {"extra_shard"}, {"extra_shard"}),
    "extra shard in a new folder": Case(copy_shard("old/clips-train-000000.tar"), {"extra_shard"}, {"extra_shard"}),
    "shard without a record": Case(copy_shard("train/clips-train-000007.tar"), {"missing_record"}, {"missing_record"}),
    "record lost": Case(
        lambda root: (root / NAME.record).unlink(),
        {"missing_record", "unfinished", "manifest"},
        {"missing_record", "unfinished", "manifest"},
    ),
    "number in the middle lost": Case(
        drop_shard(NAME), {"missing_shard", "unfinished", "manifest"}, {"missing_shard", "unfinished", "manifest"}
    ),
    "last number lost": Case(drop_shard(LATER), {"unfinished", "manifest"}, {"unfinished", "manifest"}),
    "record no JSON": Case(lambda root: (root / NAME.record).write_bytes(b"{"), {"record"}, {"record"}),
    "record of another shard": Case(
        lambda root: shutil.copy(root / LATER.record, root / NAME.record),
        {"record"},
        {"record"},
    ),
    "record with a clip too many": Case(
        edit_record(lambda record: record.update(clips=record["clips"] + 1)), {"record"}, {"record"}
    ),
    "record with a clip too few": Case(
        edit_record(forget_last), {"count", "ledger", "table", "manifest"}, {"ledger", "table", "manifest"}
    ),
    "record of another size": Case(
        edit_record(lambda record: record.update(size=record["size"] + 10240)),
        {"size", "manifest"},
        {"size", "manifest"},
    ),
    "record of another checksum": Case(
        edit_record(lambda record: record.update(sha256="0" * 64)), {"checksum", "manifest"}, {"manifest"}
    ),
    "record of another md5": Case(
        edit_record(lambda record: record.update(md5="0" * 32)), {"checksum", "manifest"}, {"manifest"}
    ),
    # tables
    "table missing": Case(lambda root: (root / NAME.table).unlink(), {"table"}, {"table"}),
    "table with a flipped bit": Case(
        flip(lambda p: p.stat().st_size // 2, lambda root, name: root / name.table), {"table"}, {"table"}
    ),
    "table cut": Case(lambda root: os.truncate(root / NAME.table, 100), {"table"}, {"table"}),
    "tables of two shards exchanged": Case(exchange_tables, {"table"}, {"table"}),
    "tables of two shards exchanged, records too": Case(
        lambda root: (exchange_tables(root), vouch(root, NAME), vouch(root, LATER)), {"table"}, {"table"}
    ),
    "table with another frame's place": Case(
        edit_column("frame_offsets", lambda old: [[row[0], row[1] + 1, *row[2:]] for row in old]), {"table"}, {"table"}
    ),
    "table with another time": Case(
        edit_column("frame_times", lambda old: [[time + 1e-6 for time in row] for row in old]), {"table"}, {"table"}
    ),
    "table with another label": Case(edit_column("label", lambda old: ["dog", *old[1:]]), {"table"}, {"table"}),
    "table with a flag too many": Case(edit_column("flags", lambda old: [["still"], *old[1:]]), {"table"}, {"table"}),
    "table with a null": Case(
        edit_table(lambda old: old.set_column(0, "format", pa.array([None] * len(old), pa.int64()))),
        {"table"},
        {"table"},
    ),
    "table of another type": Case(
        edit_table(lambda old: old.set_column(1, "key", pa.array(range(len(old)), pa.int64()))), {"table"}, {"table"}
    ),
    "table without a column": Case(edit_table(lambda old: old.drop(["sample_rate"])), {"table"}, {"table"}),
    "table without keys": Case(edit_table(lambda old: old.drop(["key"])), {"table"}, {"table"}),
    "table with a clip twice": Case(
        edit_table(lambda old: pa.concat_tables([old, old.slice(0, 1)])), {"table"}, {"table"}
    ),
    "record of another checksum of its table": Case(
        edit_record(lambda record: record.update(table_sha256="0" * 64)),
        {"table", "manifest"},
        {"table", "manifest"},
    ),
    # the manifest
    "manifest missing": Case(lambda root: (root / MANIFEST).unlink(), {"manifest"}, {"manifest"}),
    "manifest no JSON": Case(lambda root: os.truncate(root / MANIFEST, 99), {"manifest"}, {"manifest"}),
    "manifest of another format": Case(edit_manifest(lambda m: m.update(format=2)), {"manifest"}, {"manifest"}),
    "manifest with another count": Case(
        edit_manifest(lambda m: m["shards"][0].update(clips=5)), {"manifest"}, {"manifest"}
    ),
    "manifest with a list for a number": Case(
        edit_manifest(lambda m: m["shards"][0].update(clips=[4])), {"manifest"}, {"manifest"}
    ),
    "manifest with another checksum": Case(
        edit_manifest(lambda m: m["shards"][2].update(sha256="0" * 64)), {"manifest"}, {"manifest"}
    ),
    "manifest without a shard": Case(edit_manifest(lambda m: m["shards"].pop()), {"manifest"}, {"manifest"}),
    "manifest with a shard twice": Case(
        edit_manifest(lambda m: m["shards"].append(m["shards"][0])), {"manifest"}, {"manifest"}
    ),
    "manifest in another order": Case(edit_manifest(lambda m: m["shards"].reverse()), {"manifest"}, {"manifest"}),
    # other loaders
    "wids missing": Case(lambda root: (root / WIDS).unlink(), {"export"}, {"export"}),
    "wids with another count": Case(edit_file(WIDS, b'"nsamples": 4', b'"nsamples": 5'), {"export"}, {"export"}),
    "wids no JSON": Case(edit_file(WIDS, b"{", b"["), {"export"}, {"export"}),
    "wids of a split that is not": Case(
        lambda root: shutil.copy(root / WIDS, root / INDEX / "wids-dev.json"), {"export"}, {"export"}
    ),
    "card missing": Case(lambda root: (root / CARD).unlink(), {"export"}, {"export"}),
    "card with another split": Case(edit_file(CARD, b"split: test", b"split: dev"), {"export"}, {"export"}),
    "card with another count": Case(
        edit_file(CARD, b"| train | 2 | 8 |", b"| train | 2 | 9 |"), {"export"}, {"export"}
    ),
    "energon offset": Case(edit_file(f"{NAME.path}.idx", bytes(8), b"\0\2" + bytes(6)), {"export"}, {"export"}),
    "energon offsets missing": Case(lambda root: (root / f"{NAME.path}.idx").unlink(), {"export"}, {"export"}),
    "energon offsets alone": Case(
        lambda root: (shutil.rmtree(root / ".nv-meta"), (root / f"{NAME.path}.idx").write_bytes(b"x")),
        {"export"},
        {"export"},
    ),
    "energon counts": Case(edit_file(".nv-meta/.info.json", b": 4", b": 3"), {"export"}, {"export"}),
    "energon counts missing": Case(lambda root: (root / ".nv-meta/.info.json").unlink(), {"export"}, {"export"}),
    "energon identity": Case(edit_file(".nv-meta/index.uuid", b"-", b"_"), {"export"}, {"export"}),
    "energon database missing": Case(lambda root: (root / DATABASE).unlink(), {"export"}, {"export"}),
    "energon database no database": Case(edit_file(DATABASE, b"SQLite", b"SQLife"), {"export"}),
    "energon database cut": Case(lambda root: os.truncate(root / DATABASE, 4096), {"export"}),
    "energon database with another row": Case(query("UPDATE samples SET byte_size = 9 WHERE rowid = 3"), {"export"}),
    "energon database with another member": Case(
        query("UPDATE sample_parts SET part_name = 'flac' WHERE rowid = 3"), {"export"}
    ),
    "energon database with a row too many": Case(query("INSERT INTO samples VALUES (9, 'vx', 0, 0, 512)"), {"export"}),
    "energon database with a row too few": Case(query("DELETE FROM sample_parts WHERE rowid = 36"), {"export"}),
    "DALI offset": Case(edit_file(DALI, b"json 512", b"json 513"), {"export"}, {"export"}),
    "DALI index missing": Case(lambda root: (root / DALI).unlink(), {"export"}, {"export"}),
    "ledger missing": Case(lambda root: (root / LEDGER).unlink(), {"ledger"}, {"ledger"}),
    "ledger with a row too few": Case(edit_ledger(lambda lines: lines[1:]), {"ledger"}, {"ledger"}),
    "ledger with another row": Case(
        edit_ledger(lambda lines: [lines[0].replace("packed", "failed"), *lines[1:]]), {"ledger"}, {"ledger"}
    ),
    "ledger no JSON": Case(edit_ledger(lambda lines: [*lines, "{\n"]), {"ledger"}, {"ledger"}),
    "all inputs failed": Case(fail_all, {"no_clip"}, {"no_clip"}),
    "something left over": Case(
        lambda root: write_atomically(root / WORK / "train-000009.tar", b"x"), {"work"}, {"work"}
    ),
}
