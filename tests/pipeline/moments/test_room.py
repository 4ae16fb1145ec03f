"""What workers need of the system is told before they start."""

import os
import re
import resource
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from avcorr.pipeline.errors import PairError
from avcorr.pipeline.moments.supervision import _explained
from tests.pipeline.moments.test_sampler import loader_of

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory is a folder on Linux")
BATCH = 16 * (32 * 32 * 3 + 2 * 16000)


@pytest.mark.parametrize(("free", "fits"), [(0, 0), (64_000, 0), (5 * BATCH, 0), (7 * BATCH, 2)])
def test_too_little_shared_memory_is_told_before_the_start(
    shards: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: int
) -> None:
    found = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_blocks=10**6)
    monkeypatch.setattr(os, "statvfs", lambda path: found)
    with pytest.raises(PairError, match=rf"MB free, and pairs.workers = 4 need 5\.\d MB .* set pairs.workers={fits},"):
        loader_of(shards, workers=4)
    assert len(list(islice(loader_of(shards, workers=fits), 2))) == 2


@pytest.mark.parametrize("blocks", [10**6, 0])
def test_enough_and_unlimited_shared_memory_are_taken(
    shards: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    free = 11 * BATCH // 4096 if blocks else 0
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=4096, f_blocks=blocks))
    loader_of(shards, workers=4)


def mounts() -> bool:
    """Return whether a private /dev/shm can be mounted here."""
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"]
    return shutil.which("unshare") is not None and subprocess.run(tried, capture_output=True).returncode == 0


@pytest.mark.skipif(not mounts(), reason="needs to mount")
def test_what_is_needed_is_enough_and_a_little_less_is_not(shards: Path) -> None:
    """In a /dev/shm of the size that the refusal names; the last line is what came of it."""
    script = """
import sys
from itertools import islice
from pathlib import Path
from tests.pipeline.moments.test_sampler import loader_of
for batch in islice(loader_of(Path(sys.argv[1]), workers=2), 12):
    pass
print("all")
"""

    def run(size: int) -> subprocess.CompletedProcess[str]:
        mount = 'mount -t tmpfs -o size="$0" tmpfs /dev/shm && exec "$@"'
        words = ["unshare", "-m", "sh", "-c", mount, str(size), sys.executable, "-c", script, str(shards)]
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120)

    done = run(65536)
    needed = re.search(r"need ([\d.]+) MB", done.stderr)
    assert needed, done.stderr
    done = run(int(float(needed[1]) * 1e6) + 100_000)
    assert done.stdout == "all\n", done.stderr


def test_a_limit_of_open_files_is_raised_where_that_is_allowed(shards: Path) -> None:
    script = """
import resource, sys
from itertools import islice
from pathlib import Path
from tests.pipeline.moments.test_sampler import loader_of
resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(len(list(islice(loader_of(Path(sys.argv[1]), workers=6), 20))), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1000:
        pytest.skip("few open files are allowed")
    words = [sys.executable, "-c", script, str(shards)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.split() == ["20", "320"], done.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space"),
            "/dev/shm is full; lower",
        ),
        (RuntimeError("received 0 items of ancdata"), "too many files are open; raise the limit"),
        (OSError(24, "Too many open files"), "too many files are open; raise the limit"),
        (MemoryError("Unable to allocate 3.4 GiB"), "a worker has no memory left; lower pairs.workers"),
    ],
)
def test_what_the_system_lacks_is_told_with_the_way_out(error: Exception, told: str) -> None:
    caught = type(error)(f"Caught X in DataLoader worker process 0.\nOriginal Traceback:\n  File\nX: {error}")
    for each in (error, caught):
        found = _explained(each)
        assert type(found) is PairError and str(found).startswith(told) and "\n" not in str(found)


def test_an_error_of_a_workers_disk_is_one_line(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    loader = loader_of(shards, workers=1, start_method="fork")
    monkeypatch.setattr(type(loader._dataset.store), "read_ranges", fail)
    with pytest.raises(OSError, match=r"Input/output error$") as caught:
        next(iter(loader))
    assert "\n" not in str(caught.value)
