"""Whether a worker's memory and open files stay flat while pairs are drawn for a long time.

    python benchmarks/endurance.py ROOT [--minutes 60] [--workers 2] [--pause 0] [--set pairs.block_clips=64]

ROOT may be a folder or an address. With a pause after each batch, as of a trainer at work, cores stay free. Prints, for
the largest worker: resident memory (with what it shares: torch's libraries, the catalogue), private memory, open files;
once a minute, and how much the last minute had over the second.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.configs.load import load_config
from avcorr.pipeline.correspondence.pairs import PairDataset
from avcorr.pipeline.moments.loader import MomentLoader


def children() -> list[int]:
    """Return the ids of this process's workers that draw pairs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            found.append(int(path.parent.name))
    return found


def usage(pid: int) -> tuple[float, float, int]:
    """Return resident and private memory in MB, and the number of open files, of a process."""
    values = dict(line.split()[:2] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    private = int(values["Private_Clean:"]) + int(values["Private_Dirty:"])
    return int(values["Rss:"]) / 1024, private / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def main() -> None:
    """Draw pairs and print what the largest worker uses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0, help="seconds after each batch of 256 pairs")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    settings = load_config(None, [f"pairs.workers={arguments.workers}", *arguments.set]).pairs
    loader = MomentLoader(PairDataset(arguments.root, settings, batch_size=256, seed=0))
    began = last = time.monotonic()
    rows: list[tuple[float, float, int]] = []
    print("| minute | pairs | resident MB | private MB | open files |\n|---|---|---|---|---|")
    for number, _ in enumerate(loader, 1):
        now = time.monotonic()
        if now - last >= 60:
            last = now
            rows.append(max(map(usage, children())))
            resident, private, files = rows[-1]
            print(f"| {len(rows)} | {256 * number:,} | {resident:.0f} | {private:.0f} | {files} |", flush=True)
        if now - began >= 60 * arguments.minutes:
            break
        time.sleep(arguments.pause)
    if len(rows) > 2:
        grown = [after - before for before, after in zip(rows[1], rows[-1], strict=True)]
        print(f"\ngrown from minute 2 to minute {len(rows)}: private {grown[1]:+.1f} MB, open files {grown[2]:+d}")


if __name__ == "__main__":
    main()
