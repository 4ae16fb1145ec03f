"""Packing: every input is accounted for, workers change nothing, and a kill at any moment loses nothing."""

import hashlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.packing.plan import plan_shards
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.find import find_sources
from avcorr.pipeline.sources.source import Source
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.errors import DatasetMismatchError
from avcorr.shards.index.layout import DATASET, LEDGER, TABLES, WORK
from avcorr.shards.index.shard_list import read_manifest
from avcorr.shards.reader import read_clips
from tests.conftest import SMALL, MakeVideo
from tests.support.processes import wait_for_group
from tests.support.tables import keys_of

ROOT = Path(__file__).parents[3]


def digests(root: Path) -> dict[str, str]:
    """Return the checksums of the shards and of their tables."""
    paths = [*root.glob("*/*.tar"), *root.glob(f"{TABLES}/*.parquet")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_workers_change_no_byte(tmp_path: Path, videos: Path, shards: Path) -> None:
    pack(find_sources(videos), tmp_path, SMALL, workers=5)
    assert digests(tmp_path) == digests(shards)
    assert len(digests(shards)) == 6
    assert read_manifest(tmp_path).shards == read_manifest(shards).shards


def test_shards_hold_what_was_planned(shards: Path) -> None:
    index = Dataset(shards)
    assert [(record.path, record.clips) for record in index.shards] == [
        ("test/clips-test-000000.tar", 4),
        ("train/clips-train-000000.tar", 4),
        ("train/clips-train-000001.tar", 4),
    ]
    train, test = (set(Dataset(shards).clips(splits=[split]).texts("video")) for split in ("train", "test"))
    assert train and test and not train & test
    for record in index.shards:
        clips = list(read_clips(shards, record))
        assert [clip.key for clip in clips] == keys_of(shards, record)
        for clip in clips:
            assert clip.metadata.split == record.split
            assert (clip.metadata.duration, clip.metadata.frame_count) == (3.0, 12)
    assert {path.name for path in shards.iterdir()} == {"train", "test", "README.md", "__index__"}


def test_the_plan_is_a_permutation_that_seed_and_keys_decide() -> None:
    sources = [
        Source(key=f"v{n:03d}", path="", name="", video=f"{n}", split="train" if n % 4 else "test") for n in range(50)
    ]
    plan = plan_shards(sources, ShardSettings(clips_per_shard=7))
    members = [source.key for shard in plan for source in shard.sources]
    assert sorted(members) == [source.key for source in sources]
    assert plan == plan_shards(sources, ShardSettings(clips_per_shard=7))
    assert plan != plan_shards(sources, ShardSettings(clips_per_shard=7, seed=1))
    assert [shard.name.number for shard in plan] == [0, 1, 0, 1, 2, 3, 4, 5]


def test_bad_inputs_are_in_the_ledger_and_cost_no_other(tmp_path: Path, make_video: MakeVideo) -> None:
    folder = tmp_path / "videos"
    for name in ("-dash.mp4", "two words.mp4", "new\nline.mp4", "ünï 'quote\".mp4"):
        make_video(folder / name, seconds=1)
    good = make_video(folder / "good.mkv", seconds=1).read_bytes()
    (folder / "really-mkv.mp4").write_bytes(good)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut.webm").write_bytes(good[:200])
    make_video(folder / "mute.mp4", seconds=1, extra=("-an",))
    summary = pack(find_sources(folder, test_fraction=0), tmp_path / "out", SMALL, workers=2)
    assert (summary.inputs, summary.packed, summary.failed, summary.skipped) == (9, 6, 3, 0)
    assert summary.reasons == {"empty": 1, "not_media": 1, "no_audio": 1}
    assert list(verify(tmp_path / "out", full=True)) == []
    ledger = {row["source"]: row for row in Dataset(tmp_path / "out").ledger()}
    assert len(ledger) == 9 and ledger["empty.mp4"]["code"] == "empty"
    assert ledger["cut.webm"]["exit_code"] != 0 and ledger["cut.webm"]["stderr"]


def test_missing_files_and_repeated_rows_are_counted(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", seconds=1)
    (tmp_path / "list.csv").write_text("path,label\na.mp4,dog\nb.mp4,cat\na.mp4,dog\n")
    summary = pack(find_sources(tmp_path / "list.csv"), tmp_path / "out", SMALL, workers=1)
    assert (summary.inputs, summary.packed, summary.failed, summary.skipped) == (3, 1, 1, 1)
    assert summary.reasons == {"missing": 1, "duplicate": 1}


def test_another_configuration_is_refused(tmp_path: Path, videos: Path) -> None:
    sources = find_sources(videos)
    pack(sources, tmp_path, SMALL, workers=2)
    before = digests(tmp_path)
    again = pack(sources, tmp_path, SMALL.model_copy(update={"timeout_seconds": 9.0}), workers=1)
    assert again.packed == 12
    with pytest.raises(DatasetMismatchError, match="short_side: 48 there, 64 now"):
        pack(sources, tmp_path, SMALL.model_copy(update={"short_side": 64}), workers=1)
    with pytest.raises(DatasetMismatchError, match="was made of 12 inputs, and the source names 8 now"):
        pack(find_sources(videos / "train"), tmp_path, SMALL, workers=1)
    assert digests(tmp_path) == before
    foreign = tmp_path / "foreign"
    (foreign / "train").mkdir(parents=True)
    (foreign / "train" / "x.tar").write_bytes(b"")
    with pytest.raises(DatasetMismatchError, match="not of this program"):
        pack(sources, foreign, SMALL, workers=1)


def shard_command(videos: Path, out: Path) -> list[str]:
    return [
        sys.executable, str(ROOT / "run.py"), "shard", "--source", str(videos), "--out", str(out), "--workers", "2",
        "--set", "shard.short_side=48", "--set", "shard.clips_per_shard=4", "--set", "shard.clip_seconds=3",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_kills_leave_nothing_half_made(tmp_path: Path, videos: Path, shards: Path, seed: int) -> None:
    """`kill -9` at random moments, until a run gets through: byte for byte what an uninterrupted run makes."""
    chance = random.Random(seed)
    for _ in range(15):
        process = subprocess.Popen(
            shard_command(videos, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            code = process.wait(0.5 + 0.9 * chance.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            code = process.wait()
        if (tmp_path / DATASET).exists():
            assert digests(tmp_path).items() <= digests(shards).items()
        if code == 0:
            break
    else:
        subprocess.run(shard_command(videos, tmp_path), check=True)
    assert digests(tmp_path) == digests(shards)
    assert read_manifest(tmp_path).shards == read_manifest(shards).shards
    assert list(verify(tmp_path, full=True)) == []
    assert sum(row["status"] == "packed" for row in Dataset(tmp_path).ledger()) == 12


@pytest.mark.parametrize(
    ("number", "decoder", "code"),
    [
        (signal.SIGINT, "ffmpeg", 130), (signal.SIGTERM, "ffmpeg", 143), (signal.SIGTERM, "pyav", 143),
        (signal.SIGHUP, "ffmpeg", 143),
    ],
)  # fmt: skip
def test_a_signal_keeps_what_is_finished(
    tmp_path: Path, videos: Path, shards: Path, number: signal.Signals, decoder: str, code: int
) -> None:
    """Of the whole group, as a scheduler sends it: no clip is lost because its worker died of it."""
    command = [*shard_command(videos, tmp_path), "--set", f"shard.decoder={decoder}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    journals = tmp_path / WORK
    while process.poll() is None and not any(path.stat().st_size for path in journals.glob("*.jsonl")):
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, messages = process.communicate(timeout=60)
    if process.returncode:  # else it was done before the signal
        assert process.returncode == code, messages
        words = shlex.join(["avcorr", *command[2:]])
        assert f"interrupted; to go on: {words}" in messages and "Traceback" not in messages
    wait_for_group(process.pid)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert [row["status"] for row in Dataset(tmp_path).ledger()] == ["packed"] * 12
    if decoder == "ffmpeg":
        assert digests(tmp_path) == digests(shards)


def test_each_row_of_the_ledger_says_how_it_went(shards: Path) -> None:
    with (shards / LEDGER).open() as file:
        rows = [json.loads(line) for line in file]
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    fields = {"key", "source", "split", "status", "code", "message", "exit_code", "stderr", "attempts", "seconds"}
    fields |= {"bytes", "digest"}
    assert all(set(row) == fields and row["seconds"] > 0 and row["attempts"] == 1 for row in rows)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_in_the_ledger(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", seconds=1).chmod(0)
    summary = pack(find_sources(tmp_path), tmp_path / "out", SMALL, workers=1)
    assert summary.reasons == {"unreadable": 1}
