"""Sources: folders, VGGSound's CSV and CSVs with a header become keyed inputs, or a clear error."""

import os
import re
from pathlib import Path

import pytest

from avcorr.pipeline.errors import SourceError
from avcorr.pipeline.sources.find import choose_split, find_sources
from avcorr.shards.format.clip import KEY_PATTERN

HOSTILE = ["plain.mp4", "-dash.mp4", "two words.mkv", "quo'te\".mov", "new\nline.webm", "ünïcode.avi",
           "dots.in.name.ts", "__init__.mp4", "UPPER.MP4", "upper.mp4", "$(rm -rf).mpg",
           "x" * 200 + ".3gp"]  # fmt: skip


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_any_name_gets_a_key_that_every_loader_takes(tmp_path: Path) -> None:
    for name in [*HOSTILE, "notes.txt"]:
        (tmp_path / name).write_bytes(b"x")
    broken = os.fsencode(tmp_path) + b"/latin\xe9.mp4"
    open(broken, "wb").close()
    found = find_sources(tmp_path)
    assert len(found.sources) == len(HOSTILE) + 1 and not found.duplicates
    keys = [source.key for source in found.sources]
    assert keys == sorted(keys) and len({key.lower() for key in keys}) == len(keys)
    assert all(KEY_PATTERN.fullmatch(key) for key in keys)
    for source in found.sources:
        assert os.path.exists(source.path)
        source.name.encode()
    assert "vplain" in keys


def test_videos_of_one_youtube_id_share_their_split(tmp_path: Path) -> None:
    for number in range(40):
        for start in (0, 30):
            (tmp_path / f"aB-_{number:07d}_{start:06d}.mp4").write_bytes(b"x")
    (tmp_path / "fire_engine_000012.mp4").write_bytes(b"x")
    found = find_sources(tmp_path, test_fraction=0.5).sources
    splits = {(source.video, source.split) for source in found}
    assert len(splits) == 41
    assert {split for _, split in splits} == {"train", "test"}
    by_key = {source.key: source for source in found}
    assert by_key["vaB-_0000003_000030"].start == 30.0
    assert by_key["vfire_engine_000012"].video == "fire_engine_000012.mp4"


def test_folders_named_after_splits_give_them(tmp_path: Path) -> None:
    for name in ("train/a.mp4", "validation/b.mp4", "Test/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [source.split for source in find_sources(tmp_path).sources] == ["train", "val", "test"]


def test_the_split_is_a_stable_hash() -> None:
    chosen = [choose_split(f"video{number}", 0.1, 0) for number in range(5000)]
    assert 420 < chosen.count("test") < 580
    assert chosen == [choose_split(f"video{number}", 0.1, 0) for number in range(5000)]
    assert chosen != [choose_split(f"video{number}", 0.1, 1) for number in range(5000)]


def test_vggsound_csv(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("--0PQM4-hqg_000030.mp4", "abcdefghijk_7.mp4"):
        (videos / name).write_bytes(b"x")
    rows = '--0PQM4-hqg,30,"waterfall, burbling",train\nabcdefghijk,7,,test\nmissing_id0,1,dog,train\n'
    found = find_sources(write(tmp_path / "list.csv", rows + rows.splitlines()[0] + "\n"), videos=videos)
    by_video = {source.video: source for source in found.sources}
    waterfall = by_video["--0PQM4-hqg"]
    assert (waterfall.label, waterfall.split, waterfall.start, waterfall.seek) == (
        "waterfall, burbling",
        "train",
        30.0,
        0.0,
    )
    assert waterfall.path == str(videos / "--0PQM4-hqg_000030.mp4")
    assert by_video["abcdefghijk"].path == str(videos / "abcdefghijk_7.mp4")
    assert by_video["abcdefghijk"].label == ""
    assert by_video["missing_id0"].path.endswith("missing_id0_000001.mp4")
    assert [source.video for source in found.duplicates] == ["--0PQM4-hqg"]


def test_csv_with_a_header_in_any_order(tmp_path: Path) -> None:
    rows = "label,path,duration,start\ndog,a.mp4,2.5,1\ncat,sub/b.mp4,,\n"
    first, second = sorted(find_sources(write(tmp_path / "c.csv", rows)).sources, key=lambda source: source.name)
    assert (first.label, first.seek, first.duration, first.path) == ("dog", 1.0, 2.5, str(tmp_path / "a.mp4"))
    assert (second.label, second.seek, second.duration, second.video) == ("cat", 0.0, 0.0, "sub/b.mp4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("colour,size\nred,3\n", "2 columns without a header that is known"),
        ("path,path\na,b\n", "both mean the path"),
        ("path,file_name\na,b\n", "both mean the path"),
        ("path,start,end\na.mp4,3,2\n", r"c\.csv:2: the end, 2 s, is not after the start, 3 s"),
        ("path,start\na.mp4,soon\n", r"c\.csv:2: start is 'soon'"),
        ("path,start\na.mp4,-1\n", "expected seconds, 0 or more"),
        ("path,label\na.mp4\n", r"c\.csv:2: 1 columns; 2 are expected"),
        ("path,split\na.mp4,../../etc\n", "the split is"),
        ("path\n\n", "names no video"),
        ("id0,1,dog,train\n", "give --videos DIR"),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find_sources(write(tmp_path / "c.csv", text))


def test_a_bad_vggsound_row_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"c\.csv:2: 3 columns"):
        find_sources(write(tmp_path / "c.csv", "a,1,dog,train\nb,1,dog\n"), videos=tmp_path)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither a folder nor a video, an archive or a list"):
        find_sources(tmp_path / "absent")
    with pytest.raises(SourceError, match=re.escape(".mp4")):
        find_sources(tmp_path)
