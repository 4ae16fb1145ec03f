"""A run that goes on: the first try failed, a download went on, the plan says what is left out."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import avcorr
from avcorr.shards.errors import DatasetMismatchError
from tests.conftest import MakeVideo

SMALL = {"shard.short_side": 48, "shard.clip_seconds": 2.0, "shard.test_fraction": 0.0}


def test_a_first_try_without_a_clip_is_no_obstacle(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "videos" / "a.mp4", seconds=2)
    (tmp_path / "list.csv").write_text("path\nvideo/a.mp4\n")  # a folder's name mistyped
    assert avcorr.shard(tmp_path / "list.csv", tmp_path / "root", settings=SMALL).reasons == {"missing": 1}
    (tmp_path / "list.csv").write_text("path\nvideos/a.mp4\n")
    assert avcorr.shard(tmp_path / "list.csv", tmp_path / "root", settings=SMALL).packed == 1
    assert not avcorr.verify(tmp_path / "root", full=True).problems
    (tmp_path / "list.csv").write_text("path\nvideos/a.mp4\nvideos/b.mp4\n")
    with pytest.raises(DatasetMismatchError, match="was made of 1 inputs, and the source names 2 now"):
        avcorr.shard(tmp_path / "list.csv", tmp_path / "root", settings=SMALL)


def test_files_that_came_later_are_told(
    tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    video = make_video(tmp_path / "a.mp4", seconds=2)
    (tmp_path / "list.csv").write_text("path\na.mp4\nb.mp4\n")
    assert avcorr.shard(tmp_path / "list.csv", tmp_path / "root", settings=SMALL).packed == 1
    (tmp_path / "b.mp4").write_bytes(video.read_bytes())
    with caplog.at_level("INFO", logger="avcorr"):
        avcorr.shard(tmp_path / "list.csv", tmp_path / "root", settings=SMALL)
    assert "1 inputs that were missing are there now; --retry missing packs them" in caplog.text
    assert avcorr.shard(tmp_path / "list.csv", tmp_path / "root", settings=SMALL, retry=["missing"]).packed == 2


def test_long_videos_are_told(tmp_path: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture) -> None:
    make_video(tmp_path / "videos" / "a.mp4", seconds=8)
    make_video(tmp_path / "videos" / "b.mp4", seconds=2)
    with caplog.at_level("INFO", logger="avcorr"):
        avcorr.estimate(tmp_path / "videos", settings=SMALL)
    assert "1 of 2 videos looked at are longer than 2 s: 60% of their length is left out" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="avcorr"):
        avcorr.estimate(tmp_path / "videos", settings={**SMALL, "shard.consecutive": True})
    assert "left out" not in caplog.text


def test_a_list_alone_is_planned_before_the_download(tmp_path: Path) -> None:
    rows = "".join(f"aB3-efgh{number:03d},{number},dog,train\n" for number in range(500))
    (tmp_path / "list.csv").write_text(rows)
    plan = avcorr.estimate(tmp_path / "list.csv", tmp_path / "not" / "made", settings={"shard.clip_seconds": 10.0})
    assert (plan.inputs, plan.without_file, plan.clips, plan.shards) == (500, 500, 500, 2)
    assert plan.hours == pytest.approx(500 * 10 / 3600) and plan.bytes > 5e7
    assert plan.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert "none of whose files is here yet; with all of them about 500 clips" in plan.describe()
    assert "too little" in replace(plan, free_bytes=1000).describe()
    with pytest.raises(avcorr.Error, match="give --videos"):
        avcorr.shard(tmp_path / "list.csv", tmp_path / "root")
    assert not (tmp_path / "not").exists()
