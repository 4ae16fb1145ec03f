"""End a training again and again at random steps, in every way, and compare its curve with one that was left alone.

    python benchmarks/interrupts.py ROOT [--kills 12] [--steps 200] [--seed 0]

A small model on the CPU, one thread, a process that loads. The signals are kill -9, SIGTERM and Ctrl-C, each after a
random number of steps and a random part of one; in between `train --resume`, nothing else. Fails unless all steps are
there once, with the same loss to the last bit, and the last weights are equal.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import torch

from avcorr.model.saving.checkpoint import latest_checkpoint

SMALL = [
    "pairs.frame_size=32", "pairs.workers=1", "model.width=8", "model.spectrogram.mel_bins=32", "train.batch_size=16",
    "train.log_every=1", "train.checkpoint_every=7", "train.device=cpu", "train.precision=fp32",
    "train.warmup_steps=5", "train.augment=strong",
]  # fmt: skip
EXIT = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


def start(root: str, run: Path, steps: int) -> subprocess.Popen[bytes]:
    """Begin or go on."""
    settings = [word for setting in [*SMALL, f"train.steps={steps}"] for word in ("--set", setting)]
    program = Path(__file__).parents[1]
    words = [sys.executable, str(program / "run.py"), "train", "--shards", root, "--run", str(run), "--resume"]
    with (run.parent / f"{run.name}.log").open("ab") as log:
        return subprocess.Popen(
            [*words, "--config", str(program / "configs" / "quickstart.yaml"), *settings], stdout=log, stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=lambda: signal.signal(signal.SIGINT,
                                                                                        signal.default_int_handler),
        )  # fmt: skip


def lines(run: Path) -> list[bytes]:
    """Return the lines of metrics that are there."""
    path = run / "metrics.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []


def kill(process: subprocess.Popen[bytes], run: Path, number: signal.Signals, steps: int, part: float) -> bool:
    """Send a signal after so many more steps; return whether it ended the training."""
    begun = None
    while process.poll() is None:
        found = len(lines(run))
        if begun is None or found < begun:  # a resumed run drops the lines after its checkpoint
            begun = found
        if found >= begun + steps:
            time.sleep(part)
            process.send_signal(number)
            break
        time.sleep(0.01)
    code = process.wait()
    if code not in (0, EXIT[number]):
        raise SystemExit(f"{number.name} ended it with {code}; {run}.log says more")
    return code != 0


def losses(run: Path) -> list[tuple[int, float]]:
    """Return step and loss of each line."""
    return [(entry["step"], entry["loss"]) for entry in map(json.loads, lines(run))]


def main() -> None:
    """Print what was sent and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, sent = random.Random(arguments.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        if start(arguments.root, whole, arguments.steps).wait():
            raise SystemExit((Path(folder) / "whole.log").read_text())
        for place in range(arguments.kills):
            number = list(EXIT)[place % len(EXIT)]
            process = start(arguments.root, killed, arguments.steps)
            ended = kill(
                process, killed, number, rng.randint(1, 2 * arguments.steps // arguments.kills), rng.random() / 5
            )
            if not ended:
                break
            sent[number.name] += 1
        if start(arguments.root, killed, arguments.steps).wait():
            raise SystemExit((Path(folder) / "killed.log").read_text())
        equal = losses(whole) == losses(killed) and len(losses(whole)) == arguments.steps
        one, two = latest_checkpoint(whole), latest_checkpoint(killed)
        same = all(torch.equal(value, two.model[name]) for name, value in one.model.items())
        print(f"{dict(sent)}; {arguments.steps} steps; losses {'equal' if equal else 'DIFFER'}, weights "
              f"{'equal' if same else 'DIFFER'}")  # fmt: skip
    sys.exit(0 if equal and same else 1)


if __name__ == "__main__":
    main()
