"""A checksum vouches for nothing: a file of the index passes its gate, whoever reads it, or is told by its field."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avcorr.pipeline.moments.catalogue import Catalogue
from avcorr.pipeline.packing.repair import repair, repair_settings
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardError, ShardFormatError
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.index.layout import DATASET, LEDGER, MANIFEST, write_json
from avcorr.shards.index.ledger import write_ledger
from avcorr.shards.index.table_check import with_companions
from avcorr.shards.summary import summarise
from avcorr.shards.writer import ShardWriter
from tests.support.damage import (
    LATER,
    NAME,
    Damage,
    edit_column,
    edit_file,
    edit_ledger,
    edit_manifest,
    edit_record,
    edit_table,
    vouch,
)


@pytest.fixture
def root(tmp_path: Path, shards: Path) -> Path:
    """A dataset to forge."""
    shutil.copytree(shards, tmp_path / "root")
    return tmp_path / "root"


def set_column(name: str, values: Any, kind: Any = None) -> Damage:
    """Return a damage that puts another column, of another type or length, in the place of one."""
    return edit_table(
        lambda old: old.set_column(
            old.schema.get_field_index(name), name, pa.array(values(old[name].to_pylist()), kind)
        )
    )


def each(change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [change(value) for value in values]


def first(change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [change(values[0]), *values[1:]]


TABLES: dict[str, tuple[str, Damage]] = {
    # G1, G4, G5: values of the right type
    "sample count of 2^32 - 1": ("sample_count", edit_column("sample_count", each(lambda _: 2**32 - 1))),
    "sample count one less": ("sample_count", edit_column("sample_count", first(lambda old: old - 1))),
    "no samples": ("sample_count", edit_column("sample_count", each(lambda _: 0))),
    "rate 0": ("sample_rate", edit_column("sample_rate", each(lambda _: 0))),
    "rate of 2^30": ("sample_rate", edit_column("sample_rate", each(lambda _: 2**30))),
    "three channels": ("channels", edit_column("channels", each(lambda _: 3))),
    "another duration": ("duration", edit_column("duration", each(lambda old: old + 1.0))),
    "sound elsewhere": ("wav_offset", edit_column("wav_offset", first(lambda old: old + 512))),
    "sound at 2^63 - 1": ("wav_offset", edit_column("wav_offset", each(lambda _: 2**63 - 1))),
    "frames at 2^40": ("mjpg_offset", edit_column("mjpg_offset", each(lambda _: 2**40))),
    "metadata moved by a clip": ("json_offset", edit_column("json_offset", lambda old: [*old[1:], old[0]])),
    "a member of no bytes": ("json_size", edit_column("json_size", each(lambda _: 0))),
    "a negative size": ("mjpg_size", edit_column("mjpg_size", each(lambda old: -old))),
    "a size of 2^32 - 1": ("mjpg_size", edit_column("mjpg_size", lambda old: [*old[:-1], 2**32 - 1])),
    "times reversed": ("frame_times", edit_column("frame_times", each(lambda old: old[::-1]))),
    "times equal": ("frame_times", edit_column("frame_times", each(lambda old: [old[0]] * len(old)))),
    "times before 0": ("frame_times", edit_column("frame_times", each(lambda old: [old[0] - 1, *old[1:]]))),
    "times not numbers": ("frame_times", edit_column("frame_times", each(lambda old: [*old[:-1], float("nan")]))),
    "times of 2^62": ("frame_times", edit_column("frame_times", each(lambda old: [*old[:-1], 2.0**62]))),
    "a frame too few": ("frame_times", edit_column("frame_times", first(lambda old: old[:-1]))),
    "frames of another clip": (
        "frame_offsets", edit_column("frame_times", lambda old: [[*old[0], 3.9], old[1][:-1], *old[2:]])
    ),
    "no frames": ("frame_times", edit_column("frame_times", first(lambda _: []))),
    "edges falling": ("frame_offsets", edit_column("frame_offsets", each(lambda old: old[::-1]))),
    "edges of 2^32": ("frame_offsets", edit_column("frame_offsets", each(lambda old: [*old[:-1], 2**32]))),
    "edges from 1": ("frame_offsets", edit_column("frame_offsets", each(lambda old: [1, *old[1:]]))),
    "edges beyond the frames": (
        "frame_offsets", edit_column("frame_offsets", each(lambda old: [*old[:-1], old[-1] + 1]))
    ),
    "edges too few": ("frame_offsets", edit_column("frame_offsets", first(lambda old: old[:-1]))),
    "no width": ("width", edit_column("width", each(lambda _: 0))),
    "more pixels than may be": (
        "height", lambda root: [edit_column(name, each(lambda _: 65500))(root) for name in ("width", "height")]
    ),
    "loudness not a number": ("loudness", edit_column("loudness", each(lambda _: float("nan")))),
    "motion without end": ("motion", edit_column("motion", each(lambda _: float("inf")))),
    "a flag that no value gives": ("flags", edit_column("flags", each(lambda _: ["still"]))),
    "a flag that is none": ("flags", edit_column("flags", each(lambda _: ["loud"]))),
    "another class than the first": ("label", edit_column("label", each(lambda old: old + "x"))),
    "no class": ("labels", edit_column("labels", each(lambda _: []))),
    "a long text": ("caption", edit_column("caption", each(lambda _: "x" * 65_537))),
    "a long class": ("labels", edit_column("labels", each(lambda old: [*old, "x" * 4097]))),
    "another split": ("split", edit_column("split", each(lambda _: "test"))),
    "a key by no grammar": ("key", edit_column("key", first(lambda old: f"{old}.x"))),
    "a key twice": ("key", edit_column("key", lambda old: [old[0], old[0], *old[2:]])),
    "keys equal but for case": (
        "key", edit_column("key", lambda old: [old[0], old[0].upper().replace("V", "v", 1), *old[2:]])
    ),
    # G2: another type, length or form
    "times as text": ("frame_times", set_column("frame_times", lambda old: [str(row) for row in old])),
    "times of texts": ("frame_times", set_column("frame_times", lambda old: [[*map(str, row)] for row in old])),
    "times in two levels": ("frame_times", set_column("frame_times", lambda old: [[row] for row in old])),
    "times null": ("frame_times", set_column("frame_times", lambda old: [None, *old[1:]])),
    "a time null": ("frame_times", set_column("frame_times", lambda old: [[None, *row[1:]] for row in old])),
    "count as number": ("sample_count", set_column("sample_count", lambda old: [float(value) for value in old])),
    "count true": ("sample_count", set_column("sample_count", lambda old: [True] * len(old))),
    "flag as number": ("silent", set_column("silent", lambda old: [int(value) for value in old])),
    "texts as bytes": ("video", set_column("video", lambda old: [b"\xff"] * len(old))),
    "texts not UTF-8": (
        "video", edit_table(lambda old: old.set_column(2, "video", _claim_text(old["video"].to_pylist())))
    ),
    "a column missing": ("still", edit_table(lambda old: old.drop(["still"]))),
    "a column twice": ("video", edit_table(lambda old: old.append_column("video", old["video"]))),
}  # fmt: skip


def _claim_text(values: list[str]) -> Any:
    """Return a column of texts that are not UTF-8."""
    raw = pa.array([b"\xff" + value.encode() for value in values])
    return pa.Array.from_buffers(pa.string(), len(values), raw.buffers())


@pytest.mark.parametrize("name", TABLES)
def test_a_forged_table_is_told_by_its_column(root: Path, name: str) -> None:
    """By `verify`, quick too, and by whoever reads the column."""
    column, damage = TABLES[name]
    damage(root)
    said = (
        rf"train-000000\.parquet is damaged \({column}: [^()]*(\([^()]*\))?[^()]*\); make it again with: avcorr repair$"
    )
    messages = [problem.message for problem in verify(root) if problem.code == "table"]
    shards = Dataset(root).of_split("train")
    for columns in ((), (column,)):
        with pytest.raises(ShardFormatError, match=said) as caught:
            list(Dataset(root).tables(shards, *columns))
        messages.append(str(caught.value))
    if column in with_companions(["frame_times", "video"]):
        with pytest.raises(ShardFormatError, match=said):
            Catalogue(root, "train", 1.0)
    assert len(messages) == 3 and all(re.search(said, message) for message in messages)


def _run(root: Path, what: str) -> str:
    """Return what a Python line says of a dataset in a process that may have 1 GB and 20 s."""
    text = f"import sys; sys.path.insert(0, sys.argv[2]); {what}"
    limit = 1 << 30
    done = subprocess.run(
        [sys.executable, "-c", text, str(root), str(Path(__file__).parents[2] / "src")], capture_output=True, text=True,
        timeout=20, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    return (done.stdout + done.stderr).strip().splitlines()[-1]


_CATALOGUE = "from avcorr.pipeline.moments.catalogue import Catalogue; Catalogue(sys.argv[1], 'train', 1.0)"


def _zeros(count: int) -> Any:
    edges = [0, *np.linspace(1, count, 4, dtype=np.int32).tolist()]
    return pa.ListArray.from_arrays(pa.array(edges, pa.int32()), pa.array(np.zeros(count)))


@pytest.mark.parametrize("kind", ["zeros", "equal", "text", "rows"])
def test_a_table_that_unpacks_to_more_than_its_shard_is_refused_before_it_is_unpacked(root: Path, kind: str) -> None:
    """G3: 800 MB of zeros in a file of some kB, 10^8 equal values in fewer, a text of 500 MB, a million rows."""
    path, table = root / NAME.table, pq.read_table(root / NAME.table)
    if kind == "rows":
        table = pa.concat_tables([table] * 20_000)
    elif kind == "text":
        table = table.set_column(6, "caption", pa.array(["x" * (500 << 20), "", "", ""]))
    else:
        table = table.set_column(table.schema.get_field_index("frame_times"), "frame_times", _zeros(10**8))
    pq.write_table(table, path, compression="zstd", use_dictionary=kind == "equal")
    vouch(root)
    del table
    assert path.stat().st_size < 2 << 20
    said = _run(root, _CATALOGUE)
    assert "ShardFormatError" in said and "is damaged" in said and "avcorr repair" in said
    (problem,) = (problem for problem in verify(root) if problem.code == "table")
    assert "is damaged" in problem.message


DEEP, NAN, TWICE = b"[" * 200_000, b'{"format": NaN}', b'{"format": 1, "format": 1}'
HUGE = b'{"format": 1, "settings": {"x": 1e400}}'


def with_bytes(name: str, data: bytes) -> Damage:
    return lambda root: (root / name).write_bytes(data)


def as_pipe(name: str) -> Damage:
    return lambda root: ((root / name).unlink(), os.mkfifo(root / name))


def edit_facts(**facts: Any) -> Damage:
    return lambda root: (root / DATASET).write_text(json.dumps(json.loads((root / DATASET).read_bytes()) | facts))


def edit_settings(**settings: Any) -> Damage:
    return lambda root: edit_facts(settings=json.loads((root / DATASET).read_bytes())["settings"] | settings)(root)


def edit_row(**fields: Any) -> Damage:
    """Return a damage of the first row of the ledger."""
    return edit_ledger(lambda lines: [json.dumps(json.loads(lines[0]) | fields) + "\n", *lines[1:]])


FACTS: dict[str, tuple[str, Damage]] = {
    "nested without end": ("nested too deeply", with_bytes(DATASET, DEEP)),
    "not a number": ("NaN is no number", with_bytes(DATASET, NAN)),
    "a name twice": ("'format' is there twice", with_bytes(DATASET, TWICE)),
    "a number without end": ("1e400 is no number", with_bytes(DATASET, HUGE)),
    "not UTF-8": ("utf-8", with_bytes(DATASET, b"\xff\xfe{}")),
    "a list": ("input should be an object; found", with_bytes(DATASET, b"[1]")),
    "too large": ("has 1048577 bytes; a file of its kind", with_bytes(DATASET, b" " * (1 << 20) + b"1")),
    "format true": ("format: .*; found true", edit_facts(format=True)),
    "settings a text": ('settings: .*; found "x"', edit_facts(settings="x")),
    "inputs a text": ('inputs: .*; found "24"', edit_facts(inputs="24")),
    "inputs below 0": ("inputs: .*; found -1", edit_facts(inputs=-1)),
    "ffmpeg a number": ("ffmpeg: .*; found 7", edit_facts(ffmpeg=7)),
    "name a list": (r'name: .*; found \["x"\]', edit_settings(name=["x"])),
    "name a path": (r'name: .*; found "\.\./\.\./x"', edit_settings(name="../../x")),
    "clip_seconds not a number": ("NaN is no number", edit_settings(clip_seconds=float("nan"))),
    "clip_seconds a text": ('clip_seconds: .*; found "3"', edit_settings(clip_seconds="3")),
    "a pipe": ("is no regular file", as_pipe(DATASET)),
}


@pytest.mark.parametrize("name", FACTS)
def test_a_forged_dataset_json_is_told_by_its_field_to_all(root: Path, name: str) -> None:
    said, damage = FACTS[name]
    damage(root)
    for read in (lambda root: list(verify(root)), Dataset, summarise, lambda root: Catalogue(root, "train", 1.0)):
        with pytest.raises(ShardError, match=rf"dataset\.json.*{said}") as caught:
            read(root)
        assert "\n" not in str(caught.value)


def test_what_a_dataset_json_need_not_say_is_unknown(root: Path) -> None:
    (root / DATASET).write_text('{"format": 1}')
    finish_dataset(root)
    found = summarise(root)
    assert (found["ffmpeg"], found["settings"], found["inputs"]) == ("unknown", {}, 12)
    assert list(verify(root)) == []


ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {
    "a path out of the root": ("path", {"path": "../../../../etc/passwd"}),
    "an absolute path": ("path", {"path": "/dev/zero"}),
    "a path of a folder": ("path", {"path": "train"}),
    "a path with NUL": ("path", {"path": "train/x\0-train-000000.tar"}),
    "a long path": ("path", {"path": f"train/{'x' * 5000}-train-000000.tar"}),
    "a path of other digits": ("path", {"path": f"train/clips-train-{chr(0x663) * 6}.tar"}),
    "a path a number": ("path", {"path": 5}),
    "another split": ("path", {"split": "test"}),
    "a split by no grammar": ("split", {"split": "../x"}),
    "clips 8.0": ("clips", {"clips": 8.0}),
    "clips null": ("clips", {"clips": None}),
    "frames below clips": ("frames", {"frames": 1}),
    "size a text": ("size", {"size": "20480"}),
    "size without end": ("size", {"size": 2**60}),
    "seconds a text": ("seconds", {"seconds": "x"}),
    "seconds not a number": ("NaN", {"seconds": float("nan")}),
    "no checksum": ("sha256", {"sha256": None}),
    "md5 a text": ("md5", {"md5": "x"}),
    "no checksum of the table": ("table_sha256", {"table_sha256": ""}),
    "the table's checksum a number": ("table_sha256", {"table_sha256": 5}),
    "the table's checksum a path": ("table_sha256", {"table_sha256": "/dev/zero"}),
    "a digest by no grammar": ("clips_digest", {"clips_digest": "x"}),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_forged_entry_is_told_by_its_field_in_record_and_manifest(root: Path, name: str) -> None:
    field, values = ENTRIES[name]
    edit_manifest(lambda manifest: manifest["shards"][1].update(values))(root)
    (problem,) = verify(root)
    said = rf"index\.json is damaged \(.*{field}.*\); write it again with: avcorr repair$"
    assert problem.code == "manifest" and re.search(said, problem.message)
    for read in (lambda: Dataset(root), lambda: Catalogue(root, "train", 1.0)):
        with pytest.raises(ShardFormatError, match=said):
            read()
    finish_dataset(root)
    edit_record(lambda record: record.update(values))(root)
    said = rf"train-000000\.json is damaged \(.*{field}.*\); make it again with: avcorr repair$"
    assert any(problem.code == "record" and re.search(said, problem.message) for problem in verify(root))
    with pytest.raises(ShardFormatError, match=said):
        summarise(root)


@pytest.mark.parametrize("field", ["clips", "frames"])
def test_memory_is_not_asked_for_by_a_forged_count(root: Path, field: str) -> None:
    edit_manifest(lambda manifest: manifest["shards"][1].update({"frames": 2**40, field: 2**40}))(root)
    assert [problem.code for problem in verify(root)] == ["manifest"]
    assert re.search(r"index\.json names \d+ clips with \d+ frames, for which", _run(root, _CATALOGUE))


def in_ledger(**fields: Any) -> Damage:
    """Return a damage of the first row in a record."""
    return edit_record(lambda record: record["ledger"][0].update(fields))


RECORDS: dict[str, tuple[str, Damage]] = {
    "nested without end": ("nested too deeply", with_bytes(NAME.record, DEEP)),
    "a name twice": ("is there twice", edit_file(NAME.record, b'"clips"', b'"frames"')),
    "a row a number": (r"ledger\.0", edit_record(lambda record: record["ledger"].__setitem__(0, 5))),
    "a row without status": (r"ledger\.0: status", edit_record(lambda record: record["ledger"][0].pop("status"))),
    "status a list": (r"ledger\.0: status", in_ledger(status=["packed"])),
    "code a number": (r"ledger\.0: code", in_ledger(code=5)),
    "key a path": (r"ledger\.0: key", in_ledger(key="../x")),
    "attempts a text": (r"ledger\.0: attempts", in_ledger(attempts="1")),
    "the ledger a text": ("ledger", edit_record(lambda record: record.update(ledger="x"))),
    "of another shard": ("is another shard", lambda root: shutil.copy(root / LATER.record, root / NAME.record)),
    "a pipe": ("is no regular file", as_pipe(NAME.record)),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_forged_record_is_told_by_its_field(root: Path, name: str) -> None:
    said, damage = RECORDS[name]
    damage(root)
    (problem,) = (problem for problem in verify(root) if problem.code == "record")
    with pytest.raises(ShardError, match=rf"train-000000\.json .*{said}") as caught:
        summarise(root)
    assert str(caught.value) == problem.message


@pytest.mark.parametrize(
    ("said", "damage"),
    [
        ("line 1: is nested too deeply", with_bytes(LEDGER, DEEP)),
        ("line 1: ", with_bytes(LEDGER, b"1\n2\n")),
        ("line 1: status", edit_row(status=["packed"])),
        ("line 1: seconds", edit_row(seconds="1")),
        ("line 13: ", edit_ledger(lambda lines: [*lines, "x" * (3 << 20)])),
        ("line [0-9]+: .*utf-8", edit_file(LEDGER, b"packed", b"\xffacked")),
        ("is no regular file", as_pipe(LEDGER)),
    ],
)
def test_a_forged_ledger_is_told_by_line_and_field(root: Path, said: str, damage: Damage) -> None:
    damage(root)
    (problem,) = verify(root)
    assert problem.code == "ledger" and re.search(said, problem.message)
    with pytest.raises(ShardError, match=said):
        list(Dataset(root).ledger())


def test_a_record_of_a_late_number_is_one_line(root: Path) -> None:
    """G8, which was a line for each number between."""
    shutil.copy(root / NAME.record, (root / NAME.record).with_name("train-999999.json"))
    problems = [problem.message for problem in verify(root) if problem.code == "missing_shard"]
    assert problems == ["train-000002 to train-999998: neither shard nor record; later ones are there"]


def test_a_dataset_whose_inputs_all_failed_is_not_well(tmp_path: Path) -> None:
    """K6."""
    rows = [
        {"key": f"vx{number}", "source": "x", "split": "train", "status": "failed", "code": "no_audio"}
        for number in range(3)
    ]
    write_json(tmp_path / DATASET, {"format": 1, "inputs": 3})
    with ShardWriter(tmp_path, NAME, [str(row["key"]) for row in rows]) as writer:
        for row in rows:
            writer.fail(row)
        writer.publish()
    write_ledger(tmp_path, rows)
    finish_dataset(tmp_path)
    (problem,) = verify(tmp_path)
    assert (problem.code, problem.message) == ("no_clip", "no clip: 3 of 3 inputs failed; avcorr info says why")


MENDED = {
    "table": TABLES["times reversed"][1],
    "table of other types": TABLES["a column missing"][1],
    "table that is a pipe": as_pipe(NAME.table),
    "record": in_ledger(status=["packed"]),
    "record nested without end": RECORDS["nested without end"][1],
    "record that is a pipe": as_pipe(NAME.record),
    "record of another path": edit_record(lambda record: record.update(path="/dev/zero")),
    "manifest": edit_manifest(lambda manifest: manifest["shards"][1].update(path="/dev/zero")),
    "manifest that is a pipe": as_pipe(MANIFEST),
    "ledger": edit_row(status=["packed"]),
    "ledger nested without end": with_bytes(LEDGER, DEEP),
    "ledger that is a pipe": as_pipe(LEDGER),
}


@pytest.mark.parametrize("name", MENDED)
def test_repair_makes_a_forged_file_of_the_index_what_it_was(root: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    MENDED[name](root)
    assert not repair(root, None, repair_settings(root)).failed
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
