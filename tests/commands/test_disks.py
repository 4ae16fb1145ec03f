"""A disk that is full or read-only, under each command that writes: one line, and nothing half made is left."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import TINY
from tests.support.mounts import CAN_MOUNT

RUN_ALL = """
import json, sys
from pathlib import Path
from avcorr.commands.main import main
room, free = Path(sys.argv[1]), int(sys.argv[2])
for words in json.loads(sys.argv[3]):
    if free:  # bytes that are left on the disk
        filler = (room / "filler").open("wb")
        try:
            while filler.write(b"x" * 4096):
                filler.flush()
        except OSError:
            pass
        filler = (room / "filler").open("r+b")
        filler.truncate((room / "filler").stat().st_size - free)
    sys.stderr.write(f"== {words[0]}\\n")
    code = main(words)
    left = [path for path in sorted(map(str, room.rglob("*"))) if path.endswith(".tmp") or "/.avcorr" in path]
    sys.stderr.write(f"-- {code} {left}\\n")
"""
FULL = 'mount -t tmpfs -o size=12m tmpfs "$1" && cp -r "$RUN" "$1/run" && shift && exec "$@"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
pytestmark = pytest.mark.skipif(not CAN_MOUNT, reason="this system lets nobody mount a file system of his own")


def run_all(mount: str, room: Path, run: Path, commands: dict[str, list[object]], free: int = 0) -> dict[str, str]:
    """Run commands one after another with a mount of its own at `room`; return what each says at its end."""
    words = json.dumps([[str(word) for word in command] for command in commands.values()])
    program = [sys.executable, "-c", RUN_ALL, str(room), str(free), words]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(room), *program],
        env={**os.environ, "RUN": str(run)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    parts = done.stderr.split("== ")[1:]
    assert len(parts) == len(commands), done.stderr[-3000:]
    return {name: part.strip() for name, part in zip(commands, parts, strict=True)}


def settings(*values: str) -> list[object]:
    return [word for value in values for word in ("--set", value)]


def test_a_full_disk_is_told_by_each_command(tmp_path: Path, shards: Path, small_run: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    shutil.copytree(small_run, tmp_path / "run")
    commands: dict[str, list[object]] = {
        "train": ["train", "--shards", shards, "--run", room / "new", *settings(*TINY)],
        "resume": ["train", "--shards", shards, "--run", room / "run", "--resume", *settings(*TINY, "train.steps=12")],
        "eval": ["eval", "--run", room / "run", "--shards", shards],
        "report": ["report", "--run", room / "run"],
        "embed": ["embed", "--run", small_run, "--shards", shards, "--out", room / "embedded"],
        "export": ["export", "--run", small_run, "--out", room / "exported"],
        "inspect": ["inspect", shards, "--out", room / "clips.html"],
    }
    for name, said in run_all(FULL, room, tmp_path / "run", commands, free=16384).items():
        lines = said.splitlines()
        assert lines[-1] == "-- 1 []", (name, said)
        assert f"error: no space is left on the disk of {room}/" in lines[-2], (name, said)
        assert "; free some space, then " in lines[-2] and "Traceback" not in said, (name, said)


def test_a_read_only_disk_is_told_before_the_work(tmp_path: Path, shards: Path, small_run: Path) -> None:
    """Each is given a dataset or a run that is not there, too: that would be told by the work."""
    room, gone = tmp_path / "room", tmp_path / "gone"
    room.mkdir()
    shutil.copytree(small_run, room / "run")
    shutil.copytree(shards, room / "root")
    commands: dict[str, list[object]] = {
        "train": ["train", "--shards", gone, "--run", room / "new"],
        "resume": ["train", "--shards", gone, "--run", room / "run", "--resume"],
        "eval": ["eval", "--run", room / "run", "--shards", gone],
        "probe": ["probe", "--run", room / "run", "--shards", gone],
        "report": ["report", "--run", room / "run"],
        "embed": ["embed", "--run", gone, "--shards", gone, "--out", room / "embedded"],
        "export": ["export", "--run", room / "run", "--shards", gone],
        "inspect": ["inspect", gone, "--out", room / "clips.html"],
        "repair": ["repair", room / "root"],
        "explore": ["explore", "--run", room / "run", "--shards", shards, "--port", 0],
    }
    for name, said in run_all(READ_ONLY, room, room / "run", commands).items():
        lines = said.splitlines()
        assert lines[-1] == "-- 1 []", (name, said)
        assert f"error: {room}" in lines[-2], (name, said)
        assert "cannot be written to: the disk is read-only" in lines[-2], (name, said)
        assert "Traceback" not in said, (name, said)
