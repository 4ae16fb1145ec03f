"""Seconds and memory to plan a list of a million videos, without a video.

    python benchmarks/plan.py [--rows 1000000] [--kind vggsound|header]

Writes a CSV of that many rows and runs `run.py shard --dry-run` on it in a process of its own: reads the list, makes
keys, splits and shards, looks for files, prints the plan. Peak memory is that process's.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def write_list(path: Path, rows: int, kind: str) -> None:
    """Write a list such as VGGSound's, with random ids."""
    chance = random.Random(0)
    with path.open("w") as file:
        if kind == "header":
            file.write("path,label,split,start,duration\n")
        for _ in range(rows):
            video, start = "".join(chance.choices(LETTERS, k=11)), chance.randrange(600)
            label, split = f"class {chance.randrange(309)}", "test" if chance.random() < 0.08 else "train"
            vggsound = f"{video},{start},{label},{split}\n"
            file.write(vggsound if kind == "vggsound" else f"videos/{video}.mp4,{label},{split},{start},10\n")


def main() -> None:
    """Print seconds, memory and the plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=["vggsound", "header"], default="vggsound")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "list.csv")
        write_list(source, arguments.rows, arguments.kind)
        command = [sys.executable, ROOT / "run.py", "shard", "--source", source, "--videos", folder,
                   "--out", Path(folder, "out"), "--dry-run"]  # fmt: skip
        began = time.monotonic()
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{arguments.rows} rows ({arguments.kind}): {seconds:.1f} s, {peak:.0f} MB peak")
    print(result.stdout.strip())


if __name__ == "__main__":
    main()
