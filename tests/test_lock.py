"""One process at a time writes into a folder; the second is told who does."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avcorr.errors import OutputError
from avcorr.lock import locked
from tests.support.commands import TINY, command

HOLD = """
import os, sys
from pathlib import Path
from avcorr.lock import locked
with locked(Path(sys.argv[1]), "sharded", "choose another --out"):
    if sys.argv[2:] and os.fork() == 0:
        print("held", flush=True)
        sys.stdin.read()  # a child that outlives its parent
        os._exit(0)
    if not sys.argv[2:]:
        print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start a process that holds a folder's lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def test_the_second_is_told_who_works_there(tmp_path: Path) -> None:
    process = hold(tmp_path / "root")
    with pytest.raises(OutputError) as error, locked(tmp_path / "root", "repaired", "repair a copy"):
        pass
    said = rf"root is being sharded by pid {process.pid} on {re.escape(os.uname().nodename)} since \d\d:\d\d \(\d{{4}}-"
    assert re.search(said, str(error.value)) and str(error.value).endswith("; wait for it or repair a copy")
    end(process)
    assert not (tmp_path / "root").exists(), "nothing was written, so nothing is left"
    with locked(tmp_path / "root", "sharded", "choose another --out"):
        (tmp_path / "root" / "file").touch()
    assert os.listdir(tmp_path / "root") == ["file"]


def test_a_dead_ones_lock_is_taken_over_at_once(tmp_path: Path) -> None:
    """Also where it left a child behind that lives on, as workers that load do for some seconds."""
    process = hold(tmp_path, "with a child")
    (tmp_path / ".index.json.0a1b2c3d.tmp").write_bytes(b"half")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with locked(tmp_path, "sharded", "choose another --out"):
        words = (tmp_path / ".avcorr" / "lock").read_text()
        assert words.startswith(f"sharded by pid {os.getpid()} on ")
    assert os.listdir(tmp_path) == []
    process.communicate()


def test_one_that_waits_gets_the_lock_when_the_other_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = hold(tmp_path / "run")
    read = os.fork()
    if read == 0:  # ends the holder as soon as the waiting has begun
        os.execv(sys.executable, [sys.executable, "-c", f"import os, time; time.sleep(0.3); os.kill({process.pid}, 9)"])
    with caplog.at_level("INFO"), locked(tmp_path / "run", "trained", "give another --run", wait=True):
        assert f"by pid {process.pid} on" in caplog.text and "waiting for it" in caplog.text
        assert (tmp_path / "run" / ".avcorr" / "lock").read_text().startswith("trained by pid")
    os.waitpid(read, 0)
    process.communicate()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_lock_is_not_touched(tmp_path: Path, kind: str) -> None:
    """As in a folder that a stranger has packed: a link to a file of ours would be emptied."""
    path, ours = tmp_path / "root" / ".avcorr" / "lock", tmp_path / "ours"
    ours.write_text("ours")
    path.parent.mkdir(parents=True)
    {"link": lambda: path.symlink_to(ours), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(OutputError, match=r"\.avcorr/lock is a link, a folder or the like"):
        with locked(tmp_path / "root", "sharded", "choose another --out"):
            pass
    assert ours.read_text() == "ours" and os.path.lexists(path)


def test_each_command_that_writes_is_told(
    tmp_path: Path, videos: Path, shards: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, root, folder = tmp_path / "run", tmp_path / "root", tmp_path / "folder"
    run.symlink_to(small_run)
    root.symlink_to(shards)
    cases: list[tuple[Path, list[object], list[str]]] = [
        (root, ["shard", "--source", videos, "--out", root], []),
        (root, ["repair", root], []),
        (folder, ["train", "--shards", shards, "--run", folder], TINY),
        (small_run / "eval", ["eval", "--run", run, "--shards", shards], []),
        (folder, ["embed", "--run", run, "--shards", shards, "--out", folder], []),
        (folder, ["export", "--run", run, "--out", folder], []),
    ]
    for place, words, settings in cases:
        process = hold(place)
        assert command(*words, settings=settings) == 1, words
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"is being sharded by pid {process.pid} on" in said and "; wait for it or " in said, said
        end(process)
    assert not folder.exists() and not (root / ".avcorr").exists()


def test_a_requeued_training_waits_and_goes_on(
    tmp_path: Path, shards: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    process = hold(tmp_path / "run")
    ender = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({process.pid}, 9)"])
    settings = [*TINY, "train.steps=7"]
    assert command("train", "--shards", shards, "--run", tmp_path / "run", "--resume", settings=settings) == 0
    said = capsys.readouterr().err
    assert f"by pid {process.pid} on" in said and "waiting for it" in said and "going on at step 6 of 7" in said
    ender.wait()
    process.communicate()
