"""A checksum vouches for nothing: a file of the index passes its gate, whoever reads it, or is told by its field."""

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
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import ShardFormatError
from avcorr.shards.index.table_check import with_companions
from tests.support.damage import NAME, Damage, edit_column, edit_table, vouch


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
