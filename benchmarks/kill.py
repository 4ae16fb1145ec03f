"""Kill the sharding, and the decoders under it, at random moments, many times; compare with a run left alone.

    python benchmarks/kill.py VIDEOS [--kills 100] [--seed 0] [--decoder ffmpeg|pyav]

A kill falls anywhere between the start of the program and two fifths of the work later, so a dataset takes several runs
and then begins anew. Every second kill takes one child away first, as a system short of memory would; the input that an
ffmpeg decoded is then in the ledger as a failure, which `--retry crashed` makes good at the end.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]


def digests(root: Path) -> dict[str, str]:
    """Return the sha256 of each shard and of each shard's columns."""
    paths = [*root.glob("*/*.tar"), *root.glob("__index__/clips/*.parquet")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


RETRY = "crashed"


def command(videos: Path, root: Path, *more: str) -> list[str]:
    """Return the command that shards the videos."""
    return [sys.executable, str(ROOT / "run.py"), "shard", "--source", str(videos), "--out", str(root),
            "--workers", "2", "--set", "shard.clips_per_shard=8", *more]  # fmt: skip


def kill_child(parent: int) -> bool:
    """Kill one child of a process; return whether there was one."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    with suppress(OSError):
        for child in " ".join(path.read_text() for path in children).split():
            subprocess.run(["kill", "-9", child], capture_output=True)
            return True
    return False


def main() -> None:
    """Print how many kills there were and whether the shards are the same."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decoder", choices=["ffmpeg", "pyav"], default="ffmpeg")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    kills = children = runs = datasets = 0
    decoder = ("--set", f"shard.decoder={arguments.decoder}")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as folder:
        alone, root = Path(folder, "alone"), Path(folder, "killed")
        began = time.monotonic()
        subprocess.run(command(arguments.videos, alone, *decoder), check=True, **quiet)
        done = time.monotonic()
        subprocess.run(command(arguments.videos, alone, *decoder), check=True, **quiet)  # has nothing to decode
        start = time.monotonic() - done
        work = max(0.5, done - began - start)
        expected = digests(alone)
        while kills < arguments.kills:
            process = subprocess.Popen(command(arguments.videos, root, *decoder), **quiet)
            runs += 1
            time.sleep(chance.uniform(0, start + 0.4 * work))
            if chance.random() < 0.5:
                children += kill_child(process.pid)
                time.sleep(0.1 * chance.random())
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            else:  # it was done: begin anew
                retry = command(arguments.videos, root, *decoder, "--retry", RETRY)
                subprocess.run(retry, check=True, **quiet)
                assert digests(root) == expected, "the shards differ"
                subprocess.run(["rm", "-r", str(root)], check=True)
                datasets += 1
            process.wait()
            found = digests(root)
            assert found.keys() <= expected.keys(), "a shard that should not be"
        subprocess.run(command(arguments.videos, root, *decoder), check=True, **quiet)
        retry = command(arguments.videos, root, *decoder, "--retry", RETRY)
        subprocess.run(retry, check=True, **quiet)
        same = digests(root) == expected
        subprocess.run([sys.executable, str(ROOT / "run.py"), "verify", str(root), "--full"], check=True, **quiet)
    print(f"{kills} kills of the program and {children} of a child of it, in {runs} runs of {datasets + 1} datasets")
    print(f"a run left alone: {start:.1f} s to start and {work:.1f} s of work, {len(expected) // 2} shards")
    print("sha256 of all shards and columns equal those of the run left alone" if same else "THE SHARDS DIFFER")
    sys.exit(not same)


if __name__ == "__main__":
    main()
