"""What a process may use of the machine, by affinity, a container's share and the limit on open files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avcorr.limits import cpu_count
from tests.conftest import MakeVideo

SMALL = ["shard.short_side=48", "shard.clip_seconds=1.0", "shard.test_fraction=0.0"]


def groups(root: Path, lines: str, files: dict[str, str]) -> Path:
    """Make what /proc and /sys say of a process's control groups."""
    places = {"proc/self/cgroup": lines, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
    for name, text in places.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("lines", "files", "share"),
    [
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1),  # Docker, version 2
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/job/step\n", {"job/cpu.max": "100000 100000\n", "job/step/cpu.max": "max 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("4:cpu,cpuacct:/docker/0a1b\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("9:memory:/\n", {"cpu.max": "100000 100000\n"}, None),
    ],
)  # fmt: skip
def test_a_containers_share_bounds_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: dict[str, str], share: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(128)), raising=False)
    assert cpu_count(groups(tmp_path, lines, files)) == (share or 128)


def test_a_share_of_several_cpus_is_rounded_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(128)), raising=False)
    assert cpu_count(groups(tmp_path, "0::/\n", {"cpu.max": "350000 100000\n"})) == 4
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cpu_count(tmp_path) == 3  # as on macOS


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_bounds_the_workers() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from avcorr.limits import cpu_count\nfrom avcorr.commands.parser import parse\n"
        "print(cpu_count(), parse(['shard', '--source', 'x', '--out', 'y']).workers)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1 1\n"


@pytest.mark.parametrize(
    ("limits", "said"),
    [("-Sn 100", ""), ("-n 128", "40 workers need 704 open files, and 128 are allowed (ulimit -n): 4 work at once")],
)
def test_few_open_files_make_few_workers(tmp_path: Path, make_video: MakeVideo, limits: str, said: str) -> None:
    """Raised where it may be, else told."""
    for number in range(6):
        make_video(tmp_path / "videos" / f"{number}.mp4", seconds=1)
    words = [sys.executable, "-m", "avcorr", "shard", "--source", "videos", "--out", "root", "--workers", "40"]
    words += [word for setting in SMALL for word in ("--set", setting)]
    done = subprocess.run(
        ["bash", "-c", f'ulimit {limits} && exec "$@"', "bash", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "inputs 6 = packed 6 + failed 0" in done.stdout, done.stderr
    assert said in done.stderr and ("ulimit" in done.stderr) == bool(said)
