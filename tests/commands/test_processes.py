"""Training from the command line in several processes, and ended by signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from avcorr.model.saving.checkpoint import latest_checkpoint
from tests.support.commands import TINY, command
from tests.support.processes import wait_for_group

ROOT = Path(__file__).parents[2]
EXACT = [*TINY, "train.augment=none", "train.batch_norm=synchronised", "train.log_every=1", "train.learning_rate=1e-4"]
ENDLESS = [*TINY, "train.steps=1000000", "train.log_every=1", "train.checkpoint_every=1000000"]


def words(shards: Path, run: Path, settings: list[str]) -> list[str]:
    options = [word for setting in settings for word in ("--set", setting)]
    return [str(ROOT / "run.py"), "train", "--shards", str(shards), "--run", str(run), *options]


def torchrun(shards: Path, run: Path, settings: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start two processes by torchrun as the documents do; -- keeps it from reading our --run as its own."""
    start = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
        "--nproc-per-node", "2", "--module", "--", "avcorr",
    ]  # fmt: skip
    with log.open("wb") as file:
        return subprocess.Popen(
            [*start, *words(shards, run, settings)[1:]], stdout=file, stderr=file, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def wait_for_steps(run: Path, process: subprocess.Popen[bytes], count: int, log: Path) -> None:
    """Wait until so many steps are in the log."""
    deadline = time.monotonic() + 120
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < count:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


Cleanup = Callable[["subprocess.Popen[bytes]"], None]


@pytest.fixture
def cleanup() -> Iterator[Cleanup]:
    """Return what has a process and its group killed at the end of the test, whatever becomes of that."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes.append
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_torchrun_trains_as_one_process_does(tmp_path: Path, shards: Path) -> None:
    """The pairs are the same, whoever draws them, and so are the losses."""
    process = torchrun(shards, tmp_path / "two", EXACT, tmp_path / "log")
    assert process.wait(180) == 0, (tmp_path / "log").read_text()
    assert command("train", "--shards", shards, "--run", tmp_path / "one", settings=EXACT) == 0
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys() == set(range(1, 7))
    assert two[1] == pytest.approx(one[1], rel=1e-5)
    assert list(two.values()) == pytest.approx(list(one.values()), rel=1e-2)
    assert latest_checkpoint(tmp_path / "two").facts["processes"] == 2
    text = (tmp_path / "log").read_text()
    assert text.count("step 6, loss") == 1  # one process speaks


def test_two_processes_save_at_sigterm_and_one_goes_on(tmp_path: Path, shards: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    process = torchrun(shards, run, ENDLESS, log)
    wait_for_steps(run, process, 3, log)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert time.monotonic() - began < 40
    saved = latest_checkpoint(run).step
    assert saved == max(losses(run)) >= 3, log.read_text()
    (session,) = map(json.loads, (run / "sessions.jsonl").read_text().splitlines())
    assert (session["from_step"], session["to_step"], session["processes"]) == (0, saved, 2)
    more = [*ENDLESS, f"train.steps={saved + 2}"]
    assert command("train", "--shards", shards, "--run", run, "--resume", settings=more) == 0
    assert max(losses(run)) == saved + 2


@pytest.mark.parametrize(
    ("workers", "whom", "number"),
    [
        (0, "process", signal.SIGTERM), (1, "process", signal.SIGTERM), (0, "group", signal.SIGTERM),
        (2, "group", signal.SIGTERM), (2, "group", signal.SIGHUP), (1, "process", signal.SIGUSR1),
        (2, "group", signal.SIGQUIT),
    ],
)  # fmt: skip
def test_one_process_saves_at_a_signal(
    tmp_path: Path, shards: Path, workers: int, whom: str, number: signal.Signals, cleanup: Cleanup
) -> None:
    """Also where the signal goes to the processes that load, too, as when a scheduler ends a job."""
    run, log = tmp_path / "run", tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *words(shards, run, [*ENDLESS, f"pairs.workers={workers}"])], stdout=file, stderr=file,
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
    cleanup(process)
    wait_for_steps(run, process, 2, log)
    began = time.monotonic()
    if whom == "process":
        process.send_signal(number)
    else:
        os.killpg(process.pid, number)
    assert process.wait(60) == 143, log.read_text()
    assert log.read_text().splitlines()[-1].startswith("interrupted; to go on: avcorr train ")
    assert log.read_text().splitlines()[-1].endswith(" --resume")  # without it, the same command is refused
    assert time.monotonic() - began < 30
    saved = latest_checkpoint(run)
    assert saved.step >= max(losses(run))
    assert "saving it" in log.read_text() and "Traceback" not in log.read_text()
    wait_for_group(process.pid)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds workers in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_lost_twice_ends_a_training_that_is_saved(
    tmp_path: Path, shards: Path, number: signal.Signals, cleanup: Cleanup
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    chosen = [*ENDLESS, "pairs.workers=2", "pairs.timeout_seconds=2.0"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *words(shards, run, chosen)], stdout=file, stderr=file, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
    cleanup(process)
    wait_for_steps(run, process, 2, log)
    for _ in range(2):
        before = max(losses(run))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), number)
        deadline = time.monotonic() + 60
        while process.poll() is None and max(losses(run)) < before + 20 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert process.wait(60) == 1, log.read_text()
    text = log.read_text()
    assert "Traceback" not in text and text.count("all workers are replaced once, and go on at step") == 1
    assert text.splitlines()[-1].startswith("error: worker "), text
    assert latest_checkpoint(run).step == max(losses(run)) > 2
    wait_for_group(process.pid)


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path, shards: Path) -> None:
    """kill -9 while a checkpoint may be half written: the curve is that of the uninterrupted run, bit for bit."""
    killed, whole, log = tmp_path / "killed", tmp_path / "whole", tmp_path / "log"
    chosen = [*TINY, "train.log_every=1", "train.checkpoint_every=2", "train.steps=40"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *words(shards, killed, chosen)], stdout=file, stderr=file, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    wait_for_steps(killed, process, 5, log)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    stopped = max(losses(killed))
    assert stopped < 40
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the killed process had; sums of other parts round otherwise
    try:
        assert command("train", "--shards", shards, "--run", killed, "--resume") == 0
        assert command("train", "--shards", shards, "--run", whole, settings=chosen) == 0
    finally:
        torch.set_num_threads(threads)
    assert losses(killed) == losses(whole)
