"""Columns of a list that mean nothing to the format are kept beside the clips, through resumes and repairs."""

from pathlib import Path

import pyarrow.parquet as pq

from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.index.layout import SOURCE_COLUMNS
from avcorr.shards.index.source_columns import write_source_columns
from avcorr.workflows.repairing import repair
from avcorr.workflows.sharding import shard
from tests.conftest import MakeVideo

LIST = """path,label,views,code,score,key,note
a.mp4,dog,7,007,1.5,x,loud
b.mp4,cat,,010,2,y,
absent.mp4,cat,9,011,,z,
"""
CHOSEN = {"shard.clip_seconds": 1.0, "shard.test_fraction": 0.0}


def test_unknown_columns_are_kept_by_key(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_video(tmp_path / name)
    (tmp_path / "list.csv").write_text(LIST)
    root = tmp_path / "root"
    assert shard(tmp_path / "list.csv", root, settings=CHOSEN).packed == 2
    table = pq.read_table(root / SOURCE_COLUMNS)
    assert table.to_pydict() == {
        "key": ["va", "vabsent", "vb"], "views": [7, 9, None], "code": ["007", "011", "010"],
        "score": [1.5, None, 2.0], "key_": ["x", "z", "y"], "note": ["loud", None, None],
    }  # fmt: skip
    assert not [problem for problem in verify(root, full=True) if problem.is_failure]
    next(root.glob("train/*.tar")).unlink()
    repair(root)
    shard(tmp_path / "list.csv", root, settings=CHOSEN)
    assert pq.read_table(root / SOURCE_COLUMNS) == table
    (tmp_path / "list.csv").write_text("".join(f"{line.rsplit(',', 5)[0]}\n" for line in LIST.splitlines()))
    shard(tmp_path / "list.csv", root, settings=CHOSEN)
    assert not (root / SOURCE_COLUMNS).exists()


def test_so_are_fields_of_objects_beside_videos(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "a.json").write_text('{"label": "dog", "score": 0.5, "tags": ["x", "y"], "none": null}')
    (source,) = find_sources(tmp_path).sources
    assert source.label == "dog" and dict(source.columns) == {"score": 0.5, "tags": '["x", "y"]', "none": None}


def test_values_of_several_types_are_text(tmp_path: Path) -> None:
    write_source_columns(tmp_path, [("vb", [("n", 2), ("big", 1 << 70)]), ("va", [("n", "x"), ("N", True)])])
    found = pq.read_table(tmp_path / SOURCE_COLUMNS).to_pydict()
    assert found == {"key": ["va", "vb"], "n": ["x", "2"], "N_": [True, None], "big": [None, str(1 << 70)]}
