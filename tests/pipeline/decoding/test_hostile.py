"""Hostile inputs, by both decoders: each is in the ledger, and none costs another clip, the run, time or memory."""

import os
import random
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from avcorr.errors import OutputError
from avcorr.pipeline.errors import REASONS, SourceError
from avcorr.pipeline.packing.attempt import Row
from avcorr.pipeline.packing.pack import pack
from avcorr.pipeline.packing.plan import plan_shards
from avcorr.pipeline.packing.prepare import read_sources
from avcorr.pipeline.settings import ShardSettings
from avcorr.pipeline.sources.find import find_sources
from avcorr.shards.checks.dataset_check import verify
from avcorr.shards.dataset import Dataset
from avcorr.shards.index.layout import LEDGER, WORK
from avcorr.shards.reader import read_clips
from tests.conftest import SMALL, MakeVideo
from tests.support.hostile import (
    NAMES,
    ROOT,
    Harm,
    change,
    claim,
    cut,
    flip,
    jump,
    make_nodes,
    misdate,
    retag,
    run_shard,
    widen,
    widen_avi,
)
from tests.support.mounts import CAN_MOUNT

PEAK = 400.0
"""MB that no process of a run may pass here: the program, an ffmpeg or a worker, on pictures of 128 x 96."""
CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": (), "mkv": (), "ts": (), "webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
}  # fmt: skip


@pytest.fixture(params=["ffmpeg", "pyav"])
def settings(request: pytest.FixtureRequest) -> ShardSettings:
    return SMALL.model_copy(update={"decoder": request.param, "test_fraction": 0.0})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, make_video: MakeVideo) -> dict[str, bytes]:
    """Return a sound video of a second in each container."""
    folder = tmp_path_factory.mktemp("good")
    return {
        suffix: make_video(folder / f"a.{suffix}", seconds=1, extra=extra).read_bytes()
        for suffix, extra in CONTAINERS.items()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, good: dict[str, bytes]) -> dict[str, tuple[tuple[str, bytes], ...]]:
    """Return the members of the sound clip packed alone, by decoder."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "control.mp4").write_bytes(good["mp4"])
    packed = {}
    for decoder in ("ffmpeg", "pyav"):
        chosen = SMALL.model_copy(update={"decoder": decoder, "test_fraction": 0.0})
        pack(find_sources(folder, test_fraction=0), folder / decoder, chosen, workers=1)
        packed[decoder] = members(folder / decoder)["vcontrol"]
    return packed


def members(root: Path) -> dict[str, tuple[tuple[str, bytes], ...]]:
    """Return each clip's members by its key."""
    records = [record for record in Dataset(root).records if record.clips]
    return {clip.key: clip.members() for record in records for clip in read_clips(root, record)}


def ledger(root: Path) -> dict[str, Row]:
    """Return the rows by source; none is there twice, and each says why when it failed."""
    rows = [dict(row) for row in Dataset(root).ledger()]
    for row in rows:
        assert row["status"] == "packed" or (row["code"] in REASONS and row["message"]), row
    assert len({row["source"] for row in rows}) == len(rows)
    return {row["source"]: row for row in rows}


Alone = dict[str, tuple[tuple[str, bytes], ...]]


def pack_beside(folder: Path, settings: ShardSettings, good: dict[str, bytes], alone: Alone) -> dict[str, Row]:
    """Pack a folder of hostile inputs with the sound clip among them; return the ledger but for that clip."""
    (folder / "control.mp4").write_bytes(good["mp4"])
    root = folder.parent / "root"
    sources = find_sources(folder, test_fraction=0)
    summary = pack(sources, root, settings, workers=2)
    rows = ledger(root)
    assert len(sources.sources) == summary.inputs == len(rows) == summary.packed + summary.failed + summary.skipped
    assert rows.pop("control.mp4")["status"] == "packed" and members(root)["vcontrol"] == alone[settings.decoder]
    assert list(verify(root, full=True)) == []
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    return tmp_path / "videos"


@pytest.mark.parametrize("harm", [retag, change, jump])
def test_equal_runs_give_equal_bytes(
    tmp_path: Path, folder: Path, settings: ShardSettings, good: dict[str, bytes], harm: Harm
) -> None:
    for seed in range(3):
        data = harm(good["mp4"], random.Random(seed))
        assert data is not None
        (folder / f"{seed}.mp4").write_bytes(data)
    sources, packed = find_sources(folder, test_fraction=0), []
    for number in range(3):
        pack(sources, tmp_path / f"root{number}", settings, workers=2)
        packed.append(members(tmp_path / f"root{number}"))
    assert packed[0] == packed[1] == packed[2] and len(packed[0]) == 3


def test_cuts_and_changed_bytes(folder: Path, settings: ShardSettings, good: dict[str, bytes], alone: Alone) -> None:
    chance = random.Random(7)
    for suffix, data in good.items():
        for number in range(3):
            (folder / f"cut{number}-{suffix}.{suffix}").write_bytes(cut(data, chance))
            (folder / f"flip{number}-{suffix}.{suffix}").write_bytes(flip(data, chance, 10**number))
    rows = pack_beside(folder, settings, good, alone)
    assert len(rows) == 30 and {row["status"] for row in rows.values()} == {"packed", "failed"}
    assert all(row["seconds"] < 20 for row in rows.values())


def test_headers_that_lie(
    tmp_path: Path, folder: Path, settings: ShardSettings, good: dict[str, bytes], alone: Alone
) -> None:
    """Pictures 100,000 pixels wide, a length of ten hours, sound that begins a day before: little memory, no harm."""
    sizes = {"wide": (100_000, 96), "huge": (100_000, 100_000), "tall": (16, 100_000)}
    for name, size in sizes.items():
        (folder / f"{name}.mp4").write_bytes(widen(good["mp4"], *size))
        (folder / f"{name}.avi").write_bytes(widen_avi(good["avi"], *size))
    (folder / "long.mp4").write_bytes(claim(good["mp4"], 36000))
    for hours in (3, 22, -3):
        (folder / f"{hours}-hours.ts").write_bytes(misdate(good["ts"], 3600 * hours))
    (folder / "control.mp4").write_bytes(good["mp4"])
    names = ("decoder", "short_side", "clip_seconds", "test_fraction")
    options = [f"shard.{name}={getattr(settings, name)}" for name in names]
    code, said, peak = run_shard(folder, tmp_path / "root", *(word for text in options for word in ("--set", text)))
    assert code == 0 and "Traceback" not in said, said
    rows, clips = ledger(tmp_path / "root"), members(tmp_path / "root")
    assert len(rows) == 11 and f"inputs 11 = packed {len(clips)} + failed {11 - len(clips)}" in said
    assert clips["vcontrol"] == alone[settings.decoder]
    assert clips["vlong"][1:] == tuple((name.replace("control", "long"), data) for name, data in clips["vcontrol"][1:])
    assert rows["huge.mp4"]["code"] == "undecodable"
    assert settings.decoder == "pyav" or rows["22-hours.ts"]["status"] == "packed"  # PyAV's reading ends at the jump
    assert peak < PEAK and max(row["seconds"] for row in rows.values()) < 10


def test_a_false_length_makes_no_clips(
    tmp_path: Path, folder: Path, settings: ShardSettings, good: dict[str, bytes]
) -> None:
    (folder / "long.mkv").write_bytes(claim(good["mkv"], 36000))
    (folder / "true.mkv").write_bytes(good["mkv"])
    (folder / "empty.mkv").write_bytes(claim(good["mkv"], 36000)[:1000])
    os.mkfifo(folder / "pipe.mp4")
    cutting = settings.model_copy(update={"consecutive": True})
    sources = read_sources(folder, tmp_path / "root", cutting)
    assert pack(sources, tmp_path / "root", cutting, workers=2).reasons == {"no_duration": 1, "unreadable": 1}
    rows = ledger(tmp_path / "root")
    assert rows["true.mkv"]["status"] == rows["long.mkv"]["status"] == "packed" and len(rows) == 4
    assert "claim 36000 s" in rows["empty.mkv"]["message"]


def test_what_is_no_file_is_not_waited_for(
    folder: Path, settings: ShardSettings, good: dict[str, bytes], alone: Alone
) -> None:
    expected = make_nodes(folder)
    os.mkfifo(folder / "pipe.tar")
    (folder / "zeros.tgz").symlink_to("/dev/zero")
    rows = pack_beside(folder, settings, good, alone)
    assert {name: row["code"] for name, row in rows.items()} == expected | {
        "pipe.tar": "archive_damaged",
        "zeros.tgz": "archive_damaged",
    }
    assert all(row["seconds"] < 5 for row in rows.values())


def test_an_archive_that_becomes_a_pipe(tmp_path: Path, folder: Path, settings: ShardSettings) -> None:
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.add(__file__, "a.mp4")
    sources = find_sources(folder)
    (folder / "a.tar").unlink()
    os.mkfifo(folder / "a.tar")
    assert pack(sources, tmp_path / "root", settings, workers=1).reasons == {"unreadable": 1}


def test_names_that_programs_trip_over(
    folder: Path, settings: ShardSettings, good: dict[str, bytes], alone: Alone
) -> None:
    for name in NAMES:
        (folder / os.fsdecode(name)).write_bytes(good["mp4"])
    rows = pack_beside(folder, settings, good, alone)
    hidden = [name for name in NAMES if name == b".mp4"]  # a name without a suffix
    assert [row["status"] for row in rows.values()] == ["packed"] * (len(NAMES) - len(hidden))
    sounds = {parts[1][1] for parts in members(folder.parent / "root").values()}
    assert len(sounds) == 1  # all are the same video
    assert (folder.parent / "root" / LEDGER).read_text(encoding="utf-8").isprintable() is False


def test_a_path_with_a_zero_byte_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path\na\0b.mp4\n")
    with pytest.raises(SourceError, match=r"list\.csv:2.*zero byte"):
        find_sources(tmp_path / "list.csv")


def test_files_that_change_while_others_are_packed(
    tmp_path: Path, folder: Path, settings: ShardSettings, good: dict[str, bytes], alone: Alone, make_video: MakeVideo
) -> None:
    """After the first clip is written, of the last three one vanishes, one becomes another, one a folder."""
    other = make_video(tmp_path / "other.mp4", seconds=1, tone=880)
    names = [f"clip{number:02d}.mp4" for number in range(20)]
    for name in (*names, "control.mp4"):
        (folder / name).write_bytes(good["mp4"])
    planned = [source.name for shard in plan_shards(find_sources(folder, test_fraction=0).sources, settings)
               for source in shard.sources if source.name != "control.mp4"]  # fmt: skip
    gone, changed, replaced = planned[-3:]

    def meddle() -> None:
        work = tmp_path / "root" / WORK
        while not any(path.stat().st_size for path in work.glob("*.jsonl")):
            time.sleep(0.002)
        (folder / gone).unlink()
        other.replace(folder / changed)
        (folder / replaced).unlink()
        (folder / replaced).mkdir()

    thread = threading.Thread(target=meddle, daemon=True)
    thread.start()
    rows = pack_beside(folder, settings, good, alone)
    thread.join(10)
    bad = {name: row["code"] for name, row in rows.items() if row["status"] != "packed"}
    assert bad == {gone: "missing", replaced: "unreadable"}
    sounds = {key: parts[1][1] for key, parts in members(tmp_path / "root").items()}
    assert sounds[f"v{changed[:-4]}"] not in [sounds["vcontrol"]] and len(set(sounds.values())) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_cannot_be_listed_is_in_the_ledger(folder: Path, good: dict[str, bytes], alone: Alone) -> None:
    (folder / "closed").mkdir(mode=0)
    settings = SMALL.model_copy(update={"test_fraction": 0.0})
    assert pack_beside(folder, settings, good, alone)["closed"]["code"] == "unreadable"


OPTIONS = ["--set", "shard.short_side=48", "--set", "shard.clips_per_shard=4", "--set", "shard.clip_seconds=3"]
FULL = """
set -u
mount -t tmpfs -o size=400k tmpfs "$1"
shift
"$@"; echo "first $?"
mount -o remount,size=40m tmpfs "$ROOM"
"$@"; echo "second $?"
cp -r "$ROOM/root" "$KEPT"
"""
READ_ONLY = """
mount -t tmpfs -o ro tmpfs "$1"
shift
"$@"; echo "first $?"
"""


def in_own_mounts(script: str, room: Path, videos: Path, kept: Path) -> str:
    """Run a script with a mount of its own at `room`; its arguments are the command that shards into it."""
    room.mkdir()
    command = [sys.executable, str(ROOT / "run.py"), "shard", "--source", str(videos), "--out", str(room / "root")]
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(room), *command, *OPTIONS],
        env={**os.environ, "ROOM": str(room), "KEPT": str(kept)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120,
    )  # fmt: skip
    return result.stdout


@pytest.mark.skipif(not CAN_MOUNT, reason="this system lets nobody mount a file system of his own")
def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path, videos: Path, shards: Path) -> None:
    said = in_own_mounts(FULL, tmp_path / "room", videos, tmp_path / "kept")
    first, _, second = said.partition("first 1")
    assert "error: no space is left" in first and "run the same command again" in first and "Traceback" not in said
    assert "inputs 12 = packed 12 + failed 0" in second and "second 0" in second
    assert members(tmp_path / "kept") == members(shards)
    assert list(verify(tmp_path / "kept", full=True)) == []


@pytest.mark.skipif(not CAN_MOUNT, reason="this system lets nobody mount a file system of his own")
def test_a_disk_that_cannot_be_written_to_is_told(tmp_path: Path, videos: Path) -> None:
    said = in_own_mounts(READ_ONLY, tmp_path / "room", videos, tmp_path / "kept")
    assert "first 1" in said and "cannot be written to: the disk is read-only" in said and "Traceback" not in said


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_output_that_is_a_file_is_told(tmp_path: Path, videos: Path, out: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is no folder; choose another"):
        pack(find_sources(videos), tmp_path / out, SMALL, workers=1)


def test_an_output_that_fails_in_the_middle_is_gone_on_with(tmp_path: Path, videos: Path, shards: Path) -> None:
    """A file in the place of a split's folder stops the run at its first shard; without it, the run goes on."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "train").touch()
    code, said, _ = run_shard(videos, root, *OPTIONS)
    assert code == 1 and "error: " in said and "Traceback" not in said
    (root / "train").unlink()
    pack(find_sources(videos), root, SMALL, workers=2)
    assert members(root) == members(shards)
