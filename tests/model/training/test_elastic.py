"""A process of a group is killed, and torchrun begins the group again: the training goes on as if nothing had been."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from torch import distributed

from avcorr.model.training.distributed import _store_of_this_start
from tests.commands.test_processes import ROOT, losses, wait_for_steps, words
from tests.support.commands import TINY

STEPS = 40
SETTINGS = [*TINY, "train.log_every=1", "train.checkpoint_every=2", f"train.steps={STEPS}"]


def elastic(shards: Path, run: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start two processes, as docs/training.md says, that may be begun again."""
    start = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--nproc-per-node", "2", "--max-restarts", "2", "--",
    ]  # fmt: skip
    with log.open("wb") as file:
        return subprocess.Popen(
            [*start, *words(shards, run, SETTINGS), "--resume"], stdout=file, stderr=file, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def process_of(rank: int, parent: int) -> int:
    """Return the process that torchrun gave this rank."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    named = f"RANK={rank}".encode()
    (found,) = (int(child) for child in children if named in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds torchrun's processes in /proc")
def test_a_killed_rank_begins_again_and_the_curve_is_the_same(tmp_path: Path, shards: Path) -> None:
    killed, whole, log = tmp_path / "killed", tmp_path / "whole", tmp_path / "log"
    process = elastic(shards, killed, log)
    wait_for_steps(killed, process, 5, log)
    os.kill(process_of(1, process.pid), signal.SIGKILL)
    stopped = max(losses(killed))
    assert process.wait(240) == 0, log.read_text()
    assert 5 <= stopped < STEPS
    assert "going on at step" in log.read_text()  # said once by the first process, after the restart
    assert elastic(shards, whole, tmp_path / "other").wait(240) == 0
    assert losses(killed) == losses(whole)
    assert max(losses(whole)) == STEPS


def test_processes_of_one_start_share_names_that_no_dead_one_used() -> None:
    """torchrun keeps one store over its restarts; what the dead ones left in it must not be taken for news."""
    wait = timedelta(seconds=20)
    server = distributed.TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False, timeout=wait)

    def join(rank: int) -> distributed.Store:
        client = distributed.TCPStore("127.0.0.1", server.port, None, False, timeout=wait)
        return _store_of_this_start(client, rank, 3)

    for _ in range(3):
        with ThreadPoolExecutor(3) as threads:
            stores = list(threads.map(join, range(3)))
        assert not stores[0].check(["address"])
        stores[1].set("address", "here")
        assert all(store.get("address") == b"here" for store in stores)
