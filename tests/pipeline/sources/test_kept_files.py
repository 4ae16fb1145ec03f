"""Files that a run keeps for the next one, and small ones that users put beside videos, may hold anything."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from avcorr.errors import Error, OutputError
from avcorr.pipeline.decoding.probe import Durations
from avcorr.pipeline.errors import PairError, SourceError
from avcorr.pipeline.galleries.protocols import read_ids
from avcorr.pipeline.packing.attempt import Spool, ledger_row
from avcorr.pipeline.packing.repair import recall_sources, remember_sources
from avcorr.pipeline.sources.archive import list_archive
from avcorr.pipeline.sources.find import find_sources
from avcorr.pipeline.sources.list_file import read_list
from avcorr.pipeline.sources.source import Source
from avcorr.shards.index.layout import INDEX

FORGED = [b"", b"[1]", b"{}", b"[" * 100_000, b"NaN", b"\xff\xfe", b'{"members": [["a", {"offset": -1}]]}']


@pytest.mark.parametrize("forged", FORGED)
def test_a_damaged_listing_of_an_archive_is_made_again(tmp_path: Path, forged: bytes) -> None:
    path, cache = tmp_path / "a.tar.gz", tmp_path / "cache"
    with tarfile.open(path, "w:gz", encoding="utf-8", errors="surrogateescape") as tar:
        info = tarfile.TarInfo("b\udcff.mp4")  # a name that is no UTF-8
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    listed = list_archive(path, cache=cache)
    assert [name for name, _ in listed.members] == ["b\udcff.mp4"] and list_archive(path, cache=cache) == listed
    (kept,) = cache.iterdir()
    kept.write_bytes(forged)
    assert list_archive(path, cache=cache) == listed == list_archive(path, cache=cache)


def test_damaged_lines_of_the_lengths_are_passed_over(tmp_path: Path) -> None:
    cache = tmp_path / "lengths.jsonl"
    lines = [b'["a.mp4", 3, 1.5]', b'["b.mp4", 3, "no length"]', b'["c.mp4", "x", 1.5]', b'["d.mp4", 3, -1]', *FORGED]
    cache.write_bytes(b"\n".join([*lines, b'["e.mp4", 3']))
    durations = Durations("", cache, 1, 1)
    assert durations._known == {("a.mp4", 3): 1.5, ("b.mp4", 3): "no length"}
    assert cache.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("forged", FORGED)
def test_a_damaged_attempt_that_waits_is_told_and_gone(tmp_path: Path, forged: bytes) -> None:
    source = Source(path="a.tar", name="a", video="a", key="va", split="train")
    spool, row = Spool(tmp_path), ledger_row(source, "failed", "timeout")
    spool.put(None, row)
    assert spool.take("va") == (None, row)
    path = spool._path("va")
    path.write_bytes(forged + b"\n")
    with pytest.raises(OutputError, match=r"reads back other bytes .*; check the disk and run again"):
        spool.take("va")
    assert not path.exists()


@pytest.mark.parametrize("forged", FORGED)
def test_what_says_where_the_sources_lay_may_be_damaged(tmp_path: Path, forged: bytes) -> None:
    remember_sources(tmp_path, [Path("a"), Path("b")], None)
    assert recall_sources(tmp_path) == ([Path("a"), Path("b")], None)
    (tmp_path / INDEX / "sources.json").write_bytes(forged)
    assert recall_sources(tmp_path) == ([], None)


def test_files_beside_videos_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    (tmp_path / "a.json").write_text(json.dumps({"label": "dog", "count": float("nan")}))
    (tmp_path / "b.txt").write_bytes(b"x" * 70_000)
    (tmp_path / "c.cls").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "d.txt")
    found = find_sources(tmp_path)
    assert [(each.name, each.labels, each.caption) for each in found.sources][:2] == [
        ("a.mp4", ("dog",), ""), ("b.mp4", (), ""),
    ]  # fmt: skip
    assert any("3 files beside videos are not read, such as b.txt" in note for note in found.notes)


def test_lists_and_ids_have_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # a hole: takes no place
    with pytest.raises(SourceError, match="has 1073741825 bytes; a file of its kind has at most 1073741824"):
        read_list(path)
    with pytest.raises(PairError, match="a file of its kind has at most"):
        read_ids(path)
    path.unlink()
    os.mkfifo(path)
    for read in (read_list, read_ids):
        with pytest.raises(Error, match="is no regular file"):
            read(path)
