"""Folders, archives and names as people have them: what is read, what gives labels and videos, what is left out."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from avcorr.pipeline.errors import MediaError, SourceError
from avcorr.pipeline.sources.archive import load_member, read_members
from avcorr.pipeline.sources.find import find_sources
from avcorr.pipeline.sources.grouping import clip_of_id, identity
from tests.pipeline.sources.test_lists import touch


def names(found: Path | list[Path]) -> list[str]:
    return sorted(source.name for source in find_sources(found).sources)


def test_files_and_folders_in_any_mixture(tmp_path: Path) -> None:
    touch(tmp_path, "one.mp4", "x/a.mp4", "y/a.mp4", "y/deep/b.dv")
    (tmp_path / "list.csv").write_text("path\nx/a.mp4\n")
    assert names(tmp_path / "one.mp4") == ["one.mp4"]
    assert names([tmp_path / "one.mp4", tmp_path / "x", tmp_path / "y"]) == [
        "one.mp4",
        "x/a.mp4",
        "y/a.mp4",
        "y/deep/b.dv",
    ]
    keys = [source.key for source in find_sources([tmp_path / "x", tmp_path / "y", tmp_path / "list.csv"]).sources]
    assert len(keys) == len(set(keys)) == 3


@pytest.mark.parametrize("split", ["", "train/"])
def test_a_folder_a_class_gives_labels(tmp_path: Path, split: str) -> None:
    touch(tmp_path, f"{split}dog/a.mp4", f"{split}dog/b.mp4", f"{split}cat/c.mp4")
    found = find_sources(tmp_path)
    assert {source.name.removeprefix(split): source.label for source in found.sources} == {
        "dog/a.mp4": "dog", "dog/b.mp4": "dog", "cat/c.mp4": "cat"
    }  # fmt: skip
    assert any("the names of 2 folders (cat, dog" in note for note in found.notes)
    assert not any(source.label for source in find_sources(tmp_path, folder_labels=False).sources)


@pytest.mark.parametrize("files", [("a/x.mp4", "y.mp4"), ("a/b/x.mp4", "a/y.mp4"), ("train/x.mp4", "test/y.mp4"),
                                   ("1/x.mp4", "2/y.mp4"), ("all/x.mp4", "all/y.mp4")])  # fmt: skip
def test_other_layouts_give_none(tmp_path: Path, files: tuple[str, ...]) -> None:
    assert not any(source.label for source in find_sources(touch(tmp_path, *files)).sources)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "big/train/a.mp4", "here/b.mp4")
    (tmp_path / "here" / "train").symlink_to(tmp_path / "big" / "train")
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    (tmp_path / "big" / "train" / "again").symlink_to(tmp_path / "big" / "train")
    found = find_sources(tmp_path / "here")
    assert [(source.name, source.split) for source in found.sources if source.name == "train/a.mp4"] == [
        ("train/a.mp4", "train")
    ]
    assert len(found.sources) == 2


def test_shadows_are_left_out_and_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "._a.mp4", "@eaDir/a.mp4/x.jpg", "__MACOSX/a.mp4", "b.dat", "c.dat", "noname", "a.txt")
    found = find_sources(tmp_path)
    assert [source.name for source in found.sources] == ["a.mp4"]
    (note,) = [note for note in found.notes if note.startswith("left out: ")]
    assert "2 .dat" in note and "1 without suffix" in note and "1 ._ files of macOS" in note and ".txt" not in note


def test_files_beside_a_video_say_what_it_shows(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    (tmp_path / "a.json").write_text('{"label": "dog", "caption": "a dog barks", "views": 3}')
    (tmp_path / "b.txt").write_text("a cat sleeps\n")
    (tmp_path / "b.cls").write_text("cat\n")
    (tmp_path / "c.json").write_text("{broken")
    (tmp_path / "d.json").write_text('{"labels": ["x", "y"]}')
    expected = {"a.mp4": (("dog",), "a dog barks"), "b.mp4": (("cat",), "a cat sleeps"), "c.mp4": ((), ""),
                "d.mp4": (("x", "y"), "")}  # fmt: skip
    assert {one.name: (one.labels, one.caption) for one in find_sources(tmp_path).sources} == expected
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for path in sorted(tmp_path.glob("[abcd].*")):
            archive.add(path, path.name)
    inside = find_sources(tmp_path / "all.tar")
    assert {one.name.removeprefix("all.tar/"): (one.labels, one.caption) for one in inside.sources} == expected


PACKERS = {
    "x.tar": lambda data: data, "x.tar.gz": gzip.compress, "x.tar.bz2": bz2.compress, "x.tar.xz": lzma.compress,
    "x.tar.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKERS)
def test_tars_of_every_compression(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"video" * 1000)
    with tarfile.open(tmp_path / "plain", "w") as archive:
        archive.add(tmp_path / "a.mp4", "dog/a.mp4")
    (tmp_path / name).write_bytes(PACKERS[name]((tmp_path / "plain").read_bytes()))
    (source,) = find_sources(tmp_path / name).sources
    assert source.member is not None
    (file,) = read_members(source.path, [source.member])
    assert not isinstance(file, MediaError) and Path(file.path).read_bytes() == b"video" * 1000


def test_zips(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("dog/a.mp4"), b"stored")
        archive.writestr("cat/b.mp4", b"deflated" * 100, zipfile.ZIP_DEFLATED)
        archive.writestr("cat/b.txt", b"a cat")
        archive.writestr("__MACOSX/cat/._b.mp4", b"shadow")
    found = find_sources(tmp_path / "x.zip")
    assert [(one.name, one.label, one.caption) for one in found.sources] == [
        ("x.zip/dog/a.mp4", "dog", ""), ("x.zip/cat/b.mp4", "cat", "a cat")
    ]  # fmt: skip
    files = [load_member(one.path, one.member) for one in found.sources if one.member]
    assert [Path(file.path).read_bytes() for file in files] == [b"stored", b"deflated" * 100]
    (tmp_path / "x.zip").write_bytes((tmp_path / "x.zip").read_bytes()[:-30])
    assert find_sources(tmp_path / "x.zip").sources[0].problem[0] == "archive_damaged"  # type: ignore[index]
    assert found.sources[0].member is not None
    with pytest.raises(MediaError, match="x.zip"):
        load_member(found.sources[0].path, found.sources[0].member)


IDENTITIES = {
    "aB3-efghijk_000030.mp4": ("aB3-efghijk", 30), "aB3-efghijk_7.webm": ("aB3-efghijk", 7),
    "aB3-efghijk_000030_000040.mp4": ("aB3-efghijk", 30), "aB3-efghijk_30.500.mp4": ("aB3-efghijk", 30.5),
    "YaB3-efghijk.mp4": ("aB3-efghijk", 0), "YaB3-efghij_000030.mp4": ("YaB3-efghij", 30),
    "aB3-efghijk_30000_40000.mp4": ("aB3-efghijk", 30), "aB3-efghijk.mp4": ("aB3-efghijk", 0),
    "id10001/aB3-efghijk/00001.mp4": ("aB3-efghijk", 0),
    "films/alien-Scene-001.mp4": ("films/alien.mp4", 0), "films/alien-Scene-012.mp4": ("films/alien.mp4", 0),
    "card/GX010123.MP4": ("card/0123.MP4", 0), "card/GX020123.MP4": ("card/0123.MP4", 0),
    "fire_engine_000012.mp4": ("fire_engine_000012.mp4", 0),
    "dogs/fire_engines/00001.mp4": ("dogs/fire_engines/00001.mp4", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_source_video_of_a_clip_is_in_its_name(name: str) -> None:
    assert identity(name) == IDENTITIES[name]


def test_rows_of_numbered_clips_are_of_one_video_each(tmp_path: Path) -> None:
    touch(tmp_path, *(f"film_{n:03d}.mp4" for n in range(4)), *(f"other_{n:03d}.mp4" for n in range(1, 3)))
    found = find_sources(tmp_path)
    assert {source.video for source in found.sources} == {"film.mp4", "other.mp4"}
    assert any("2 source videos in 6 files" in note for note in found.notes)
    one = touch(tmp_path / "one", *(f"video_{n:05d}.mp4" for n in range(6)))
    assert len({source.video for source in find_sources(one).sources}) == 6


def test_clips_are_grouped_as_the_user_says(tmp_path: Path) -> None:
    touch(tmp_path, "x/p/a-1.mp4", "x/q/a-2.mp4", "y/p/b-1.mp4")
    rules = {"1": {"x", "y"}, "-1": {"x/p", "x/q", "y/p"}, r"([ab])-\d": {"a", "b"}, r"/[ab]": {"/a", "/b"}}
    for rule, videos in rules.items():
        assert {source.video for source in find_sources(tmp_path, group_by=rule).sources} == videos
    with pytest.raises(SourceError, match="neither the number of a folder nor a regular expression"):
        find_sources(tmp_path, group_by="(")


def test_a_handful_of_videos_in_one_split_is_told(tmp_path: Path) -> None:
    found = find_sources(touch(tmp_path, "a.mp4", "b.mp4"))
    assert any(note.startswith("all clips are in train, for the hash put none") for note in found.notes)


def test_an_id_needs_more_than_small_letters() -> None:
    assert clip_of_id("fire_engine_000012.mp4") is None and clip_of_id("fire_engine.mp4") is None
