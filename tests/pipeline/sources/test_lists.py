"""Lists as people have them: each kind of docs/sharding.md's table, by path and by id."""

import json
import re
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avcorr.pipeline.errors import SourceError
from avcorr.pipeline.sources.find import find_sources
from avcorr.pipeline.sources.list_columns import Columns
from avcorr.pipeline.sources.source import Source
from avcorr.workflows.sharding import estimate


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def by_name(folder: Path, name: str, text: str, **options: Path) -> dict[str, Source]:
    (folder / name).write_text(text, encoding="utf-8")
    return {source.name: source for source in find_sources(folder / name, **options).sources}


BY_PATH = {
    "a header in any order": ("a.csv", "label,path\ndog,a.mp4\ncat,b.mp4\n"),
    "another name for the path": ("a.csv", "file_name,class\na.mp4,dog\nb.mp4,cat\n"),
    "capitals and spaces": ("a.csv", "Video Path, Label\na.mp4, dog\nb.mp4, cat\n"),
    "pandas' index": ("a.csv", ",path,label\n0,a.mp4,dog\n1,b.mp4,cat\n"),
    "a column `video` for the path": ("a.csv", "video,label\na.mp4,dog\nb.mp4,cat\n"),
    "semicolons": ("a.csv", "path;label\na.mp4;dog\nb.mp4;cat\n"),
    "tabs": ("a.tsv", "path\tlabel\na.mp4\tdog\nb.mp4\tcat\n"),
    "comments": ("a.csv", "# made on Monday\npath,label\na.mp4,dog\n# in between\nb.mp4,cat\n"),
    "a byte order mark and CRLF": ("a.csv", "\ufeffpath,label\r\na.mp4,dog\r\nb.mp4,cat\r\n"),
    "no header, file and label": ("a.csv", "a.mp4,dog\nb.mp4,cat\n"),
    "JSON lines": ("a.jsonl", '{"path": "a.mp4", "label": "dog"}\n\n{"label": "cat", "path": "b.mp4"}\n'),
}


@pytest.mark.parametrize("kind", BY_PATH)
def test_lists_of_paths_and_labels(tmp_path: Path, kind: str) -> None:
    found = by_name(touch(tmp_path, "a.mp4", "b.mp4"), *BY_PATH[kind])
    assert {name: source.label for name, source in found.items()} == {"a.mp4": "dog", "b.mp4": "cat"}
    assert all(Path(source.path).is_file() for source in found.values())


def test_a_list_in_parquet(tmp_path: Path) -> None:
    rows = {
        "path": ["a.mp4", "b.mp4"],
        "labels": [["dog", "barking"], []],
        "caption": ["a dog", None],
        "start": [1.5, 0.0],
    }
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    first, second = sorted(find_sources(tmp_path / "a.parquet").sources, key=lambda source: source.name)
    assert (first.labels, first.caption, first.seek) == (("dog", "barking"), "a dog", 1.5)
    assert (second.labels, second.caption) == ((), "")


def test_plain_paths(tmp_path: Path) -> None:
    found = by_name(touch(tmp_path, "a.mp4", "sub/b, c.mp4"), "list.txt", "a.mp4\n\nsub/b.mp4\n")
    assert sorted(found) == ["a.mp4", "sub/b.mp4"]


def test_spans_by_start_and_end_and_columns_that_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,start,end,video,views\na.mp4,1.5,4,film,7\na.mp4,4,6,film,8\n")
    found = find_sources(tmp_path / "a.csv")
    assert [(source.seek, source.duration, source.video) for source in found.sources] == [
        (1.5, 2.5, "film"),
        (4, 2, "film"),
    ]
    assert any("kept beside the clips: 'views'" in note for note in found.notes)


AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=2, num_segs=2
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
--ZhevVpy1s, 50.000, 60.000, "/m/012xff"
"""
VGGSOUND = """--PJHxphWEs,30,dog barking,train
--ZhevVpy1s,50,cat,test
"""
KINETICS = """dog,--PJHxphWEs,30,40,train
cat,--ZhevVpy1s,50,60,val
"""
BY_ID = {
    "VGGSound": VGGSOUND,
    "VGGSound with a header": f"youtube_id,start,label,split\n{VGGSOUND}",
    "AudioSet": AUDIOSET,
    "AudioSet without comments": "".join(line for line in AUDIOSET.splitlines(keepends=True) if line[0] != "#"),
    "Kinetics": f"label,youtube_id,time_start,time_end,split\n{KINETICS}",
    "Kinetics without a header": KINETICS,
}
FILES = {
    "VGGSound's": ("--PJHxphWEs_000030.mkv", "--ZhevVpy1s_000050.webm"),
    "Kinetics'": ("--PJHxphWEs_000030_000040.mp4", "--ZhevVpy1s_000050_000060.mp4"),
    "in milliseconds": ("--PJHxphWEs_30000_40000.mp4", "--ZhevVpy1s_50000_60000.mp4"),
    "with a fraction": ("--PJHxphWEs_30.000.mp4", "--ZhevVpy1s_50.000.mp4"),
}


@pytest.mark.parametrize("kind", BY_ID)
@pytest.mark.parametrize("files", FILES)
def test_lists_of_ids_find_files_by_any_of_the_schemes(tmp_path: Path, kind: str, files: str) -> None:
    videos = touch(tmp_path / "videos", *(f"sub/{name}" for name in FILES[files]))
    found = by_name(tmp_path, "a.csv", BY_ID[kind], videos=videos)
    assert sorted(found) == sorted(FILES[files])
    expected = (("--PJHxphWEs", 30), ("--ZhevVpy1s", 50))
    for source, (video, start) in zip(sorted(found.values(), key=lambda one: one.start), expected, strict=True):
        assert (source.video, source.start, source.seek, source.problem) == (video, start, 0, None)
        assert source.label and Path(source.path).is_file()
    assert kind != "AudioSet" or found[FILES[files][0]].labels == ("/m/09x0r", "/t/dd00088")


def test_whole_videos_are_cut_at_the_rows_span(tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "Y--PJHxphWEs.mp4")
    (source,) = by_name(tmp_path, "a.csv", KINETICS.splitlines()[0], videos=videos).values()
    assert (source.seek, source.duration, source.start) == (30, 10, 30)


def test_files_with_the_ids_of_missing_rows_are_told(tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "--PJHxphWEs_000099.mp4")
    (tmp_path / "a.csv").write_text(BY_ID["VGGSound"])
    found = find_sources(tmp_path / "a.csv", videos=videos)
    assert all(source.problem for source in found.sources)
    assert any("2 rows have no file; for 1 of them a file with that id" in note for note in found.notes)


def test_a_list_may_name_members_of_archives(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "a.mp4", "in/a.mp4")
    found = by_name(tmp_path, "a.csv", "path,label\nx.tar/in/a.mp4,dog\nx.tar/in/b.mp4,cat\n")
    assert found["x.tar/in/a.mp4"].member and found["x.tar/in/a.mp4"].label == "dog"
    assert found["x.tar/in/b.mp4"].problem == ("missing", f"is no member of {tmp_path / 'x.tar'}")


def test_a_file_named_twice_has_both_labels_and_one_split(tmp_path: Path) -> None:
    found = by_name(tmp_path, "a.csv", "path,label,caption\na.mp4,dog,\na.mp4,barking,a dog barks\n")
    assert (found["a.mp4"].labels, found["a.mp4"].caption) == (("dog", "barking"), "a dog barks")
    with pytest.raises(SourceError, match=r"a\.mp4 is given twice, for (train and for test|test and for train)"):
        by_name(tmp_path, "a.csv", "path,split\na.mp4,train\na.mp4,test\n")


def test_an_address_is_told(tmp_path: Path) -> None:
    (source,) = by_name(tmp_path, "a.csv", "url\nhttps://example.org/a.mp4\n").values()
    assert source.problem == ("missing", "addresses in a list are not read; download the files first")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"path": "a.mp4"}\n["b.mp4"]\n', r"a\.jsonl:2: list in place of a JSON object"),
        ("a.jsonl", '{"path": "a.mp4"}\n{"path"\n', r"a\.jsonl:2: no JSON object on one line"),
        ("a.jsonl", '{"colour": "red"}\n', "needs `path`, or an `id` with --videos"),
        ("a.csv", "id,label\nabc,dog\n", "names videos by id: give --videos"),
        ("a.csv", "# nothing but comments\n", "names no video"),
        ("a.csv", 'path,label\na.mp4,"dog\n', r"a\.csv:2: is no CSV that can be read \(unexpected end of data\)"),
        ("a.parquet", "PAR1 and no table behind it", r"a\.parquet is no Parquet that can be read"),
        ("a.csv", "path\na\0b.mp4,\n", r"a\.csv:2: "),
        ("a.csv", "path,audio\na.mp4,a\0.wav\n", r"a\.csv:2: "),
    ],
)
def test_what_a_list_lacks_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        by_name(tmp_path, name, text)


def test_json_of_other_shapes_is_no_traceback(tmp_path: Path) -> None:
    for value in ([], [[]], "text", 3, None, {"path": {"a": 1}}):
        (tmp_path / "a.json").write_text(json.dumps(value))
        try:
            find_sources(tmp_path / "a.json")
        except SourceError:
            pass


def test_a_plan_before_the_download_needs_no_ffmpeg(tmp_path: Path) -> None:
    """Neither for ids, nor for files that are not there yet, nor for rows that name their span."""
    touch(tmp_path, "there.mp4")
    lists = {"ids.csv": VGGSOUND, "paths.csv": "path\na.mp4\nb.mp4\n", "spans.csv": "path,duration\nthere.mp4,3\n"}
    counts = []
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        counts.append(estimate(tmp_path / name, settings={"shard.ffmpeg": str(tmp_path / "no-ffmpeg")}).inputs)
    assert counts == [2, 2, 1]


def test_each_name_of_the_documents_table_is_understood() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sharding.md").read_text(encoding="utf-8")
    rows = text.partition("| means | names |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == 9
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|", 2)[2])]
    assert len(names) > 45
    for name in names:
        alone = Columns(Path("a.csv"), [name] if f"`{name}`" in rows[0] + rows[1] else ["path", name])
        assert not alone.unknown, name
