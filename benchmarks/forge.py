"""Forge files of every kind that the program believes in, thousands of them, and see that nothing worse comes of it.

    python benchmarks/forge.py [--inputs 20000] [--processes 2] [--seed 0] [--keep DIR]

A field of a table, a record, a checkpoint, ... is replaced, or its bytes are, and checksums are made to vouch for it
(tests/support/forging.py). It is a fault when a reader ends in anything but one `Error`, takes more than 10 seconds or
more than 1 GB, when `verify --full` passes what a reader refuses, or when a reader takes for sound what it refuses: of
the index, whatever it says; of media, where whole clips are read. Exit code 1 then; --keep keeps what was at fault.
"""

import argparse
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from tests.support.forging import Base, Fault, make_base, run_forgeries


def work(
    base: Base, folder: Path, inputs: int, seed: int, keep: Path | None, results: "multiprocessing.Queue[object]"
) -> None:
    """Try a share of the forgeries in a process of its own, which a limit of memory may end."""
    logging.disable(logging.CRITICAL)
    folder.mkdir(exist_ok=True)
    counts = Counter({"not tried, the process ended": 1})
    try:
        counts = run_forgeries(base, folder, inputs, seed, keep, on_fault=results.put)
    finally:
        results.put(counts)


def main() -> int:
    """Print how many forgeries of each kind were refused, and each kind of fault once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the forgeries that were at fault")
    arguments = parser.parse_args()
    began, total, faults = time.monotonic(), Counter[str](), dict[str, tuple[int, Fault]]()
    with tempfile.TemporaryDirectory() as name:
        base = make_base(Path(name) / "base")
        context = multiprocessing.get_context("spawn")
        results: multiprocessing.Queue[object] = context.Queue()
        share = -(-arguments.inputs // arguments.processes)
        processes = [
            context.Process(
                target=work,
                args=(base, Path(name) / str(number), share, arguments.seed * 1000 + number, arguments.keep, results),
            )
            for number in range(arguments.processes)
        ]
        for process in processes:
            process.start()
        running = len(processes)
        while running:
            found = results.get()
            if isinstance(found, Fault):
                count, _ = faults.get(found.signature, (0, found))
                faults[found.signature] = count + 1, found
                if not count:
                    print(f"{found}\n", flush=True)
            else:
                total.update(found)  # type: ignore[arg-type]
                running -= 1
        for process in processes:
            process.join()
        shutil.rmtree(base.dataset.parent, ignore_errors=True)
    print(f"{arguments.inputs} forgeries in {time.monotonic() - began:.0f} s:")
    for what, count in sorted(total.items()):
        print(f"  {what}: {count}")
    for count, fault in sorted(faults.values(), key=lambda pair: -pair[0]):
        print(f"  {count} x {fault.signature}")
    print("no fault" if not faults else f"{len(faults)} kinds of fault")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
