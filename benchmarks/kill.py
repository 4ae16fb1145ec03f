"""Kill the commands that write, and what they have started, at random moments, with a second one beside each.

    python benchmarks/kill.py VIDEOS [--kills 200] [--seed 0] [--commands shard,repair,train,eval,embed,export]
        [--decoder ffmpeg|pyav]

Each round starts a command and, at a random moment, the same one beside it; then it kills one of the two, or first a
child of it, as a system short of memory would. The other has to end well or with the line that says who works there;
the command is then run again until it is done. What lies there is compared with what was made by a command left alone:
shards, tables and ledger byte for byte, lines of metrics, weights, figures, embeddings. VIDEOS need ten clips or more.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parents[1]
SMALL = (
    "pairs.frame_size=32", "pairs.workers=1", "model.width=8", "model.spectrogram.mel_bins=32", "train.batch_size=4",
    "train.steps=12", "train.log_every=1", "train.checkpoint_every=3", "train.device=cpu", "train.precision=fp32",
    "train.warmup_steps=2", "pairs.window_seconds=1.0", "eval.bootstrap=20", "eval.views_per_clip=2",
)  # fmt: skip
TRIES = 6
"""Runs after a kill in which a command has to come to its end."""


class Command(NamedTuple):
    """A command that writes."""

    words: list[str]
    output: Path
    prepare: Callable[[], object]
    """Bring what the command begins with."""
    found: Callable[[], Any]
    """Return what it has made, in a form that is equal where that is."""
    again: tuple[str, ...] = ()
    """Words that are added when it goes on."""


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """Return the sha256 of the files that the patterns name."""
    paths = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def shards_of(root: Path) -> dict[str, str]:
    """Return the sha256 of a dataset's files, and what its ledger says, but not how long it took and how often."""
    files = digests(root, "*/*.tar", "__index__/clips/*", "__index__/index.json", "__index__/dataset.json", "README.md")
    rows = map(json.loads, (root / "__index__" / "ledger.jsonl").read_text().splitlines())
    return files | {row["key"]: f"{row['status']} {row['code']} {row['digest']}" for row in rows}


def training_of(run: Path) -> Any:
    """Return the lines of metrics without what is of the clock, and the digest of the last weights."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    newest = max((run / "checkpoints").glob("step-*.pt"))
    weights = torch.load(newest, weights_only=True)["model"]
    total = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights.values())).hexdigest()
    return [(line["step"], line["loss"]) for line in lines], newest.name, total


def figures_of(run: Path) -> Any:
    """Return the figures of a run's evaluations."""
    found = [json.loads(path.read_bytes()) for path in sorted((run / "eval").rglob("metrics.json"))]
    return [{name: metrics[name] for name in ("avc", "retrieval") if name in metrics} for metrics in found]


def spoil(root: Path) -> None:
    """Damage a dataset in ways that `repair` mends."""
    tar = sorted(root.glob("*/*.tar"))[0]
    with tar.open("r+b") as file:
        file.seek(3000)
        file.write(bytes(64))
    sorted(root.glob("__index__/clips/*.parquet"))[-1].unlink()
    (root / "__index__" / "index.json").unlink()


def make_commands(videos: Path, folder: Path, decoder: str) -> dict[str, Command]:
    """Return the commands by name, after one of each was left alone for those that build on it."""
    dataset, run = folder / "dataset", folder / "run"
    shard = ["shard", "--source", str(videos), "--workers", "2", "--set", "shard.clips_per_shard=4",
             "--set", "shard.short_side=48", "--set", f"shard.decoder={decoder}"]  # fmt: skip
    small = [word for setting in SMALL for word in ("--set", setting)]
    overrides = [word for setting in SMALL if setting.startswith("eval") for word in ("--set", setting)]
    out = {name: folder / f"killed-{name}" for name in ("shard", "repair", "train", "eval", "embed", "export")}

    def nothing(folder: Path = dataset) -> None:
        pass

    def copied(source: Path, target: Path, change: Callable[[Path], object] = nothing) -> Callable[[], object]:
        def prepare() -> None:
            shutil.copytree(source, target)
            change(target)

        return prepare

    data = ["--shards", str(dataset)]
    return {
        "shard": Command([*shard, "--out", str(out["shard"])], out["shard"], nothing, lambda: shards_of(out["shard"]),
                         ("--retry", "crashed")),
        "repair": Command(["repair", str(out["repair"]), "--source", str(videos), "--workers", "2"], out["repair"],
                          copied(dataset, out["repair"], spoil), lambda: shards_of(out["repair"])),
        "train": Command(["train", *data, "--run", str(out["train"]), *small], out["train"], nothing,
                         lambda: training_of(out["train"]), ("--resume",)),
        "eval": Command(["eval", *data, "--run", str(out["eval"]), *overrides], out["eval"], copied(run, out["eval"]),
                        lambda: figures_of(out["eval"])),
        "embed": Command(["embed", *data, "--run", str(run), "--out", str(out["embed"])], out["embed"], nothing,
                         lambda: digests(out["embed"], "*.safetensors", "*.jsonl")),
        "export": Command(["export", "--run", str(run), "--out", str(out["export"])], out["export"], nothing,
                          lambda: digests(out["export"], "*.safetensors", "config.json")),
    }  # fmt: skip


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command, whose words go to a log."""
    with log.open("ab") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        program = [sys.executable, str(ROOT / "run.py"), *words]
        return subprocess.Popen(program, stdout=file, stderr=file, env=environment)


def kill_child(parent: int) -> bool:
    """Kill one child of a process; return whether there was one."""
    with suppress(OSError):
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            for child in path.read_text().split():
                os.kill(int(child), signal.SIGKILL)
                return True
    return False


def try_once(
    command: Command, name: str, seconds: float, chance: random.Random, log: Path, counts: Counter[str]
) -> None:
    """Start a command and a second one, kill one of them, and run it again to its end."""
    shutil.rmtree(command.output, ignore_errors=True)
    command.prepare()
    log.write_bytes(b"")
    first = start(command.words, log)
    time.sleep(chance.uniform(0, 0.6 * seconds))
    second = start([*command.words, *(command.again if name == "train" else ())], log)
    time.sleep(chance.uniform(0, 0.4 * seconds))
    victim, other = (first, second) if chance.random() < 0.7 else (second, first)
    if chance.random() < 0.3:
        counts["children killed"] += kill_child(victim.pid)
        time.sleep(0.2 * chance.random())
    if victim.poll() is None:
        victim.kill()
        counts["kills"] += 1
        counts[f"kills of {name}"] += 1
    victim.wait()
    if other.wait(timeout=600) not in (0, 1) or b"Traceback" in log.read_bytes():
        raise SystemExit(f"{name}: the other process ended with {other.returncode}:\n{log.read_text()[-3000:]}")
    for _ in range(TRIES):
        again = start([*command.words, *command.again], log)
        if again.wait(timeout=600) == 0:
            break
        counts["runs again that told why not"] += 1
    else:
        raise SystemExit(f"{name} did not come to its end:\n{log.read_text()[-3000:]}")
    if b"Traceback" in log.read_bytes():
        raise SystemExit(f"{name}: a traceback:\n{log.read_text()[-3000:]}")


def main() -> None:
    """Print how many kills there were, of what, and whether all is as if there had been none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", default="shard,repair,train,eval,embed,export")
    parser.add_argument("--decoder", choices=["ffmpeg", "pyav"], default="ffmpeg")
    arguments = parser.parse_args()
    chance, counts = random.Random(arguments.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "log"
        commands = make_commands(arguments.videos, folder, arguments.decoder)
        expected, seconds = dict[str, Any](), dict[str, float]()
        for each, command in commands.items():
            command.prepare()
            began = time.monotonic()
            if start(command.words, log).wait():
                raise SystemExit(f"{each}, left alone, failed:\n{log.read_text()[-3000:]}")
            seconds[each], expected[each] = time.monotonic() - began, command.found()
            if each in ("shard", "train"):  # what the others build on
                command.output.rename(folder / ("dataset" if each == "shard" else "run"))
        chosen = arguments.commands.split(",")
        rounds = 0
        while counts["kills"] < arguments.kills:
            each = chosen[rounds % len(chosen)]
            try_once(commands[each], each, seconds[each], chance, log, counts)
            found, wanted = commands[each].found(), expected[each]
            if found != wanted:
                kept = shutil.copytree(commands[each].output, Path(tempfile.mkdtemp()) / each)
                what = (
                    sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
                    if isinstance(wanted, dict)
                    else f"{found} in place of {wanted}"
                )
                raise SystemExit(f"{each}: other than left alone, in round {rounds}: {what}; it lies in {kept}")
            left = [path for path in commands[each].output.rglob(".*") if path.name.endswith(".tmp")]
            if left:
                raise SystemExit(f"{each}: left behind: {left}")
            rounds += 1
    print(f"{rounds} rounds:", ", ".join(f"{what} {count}" for what, count in sorted(counts.items())))
    print("seconds of a command left alone:", ", ".join(f"{each} {seconds[each]:.1f}" for each in chosen))
    print("shards, tables, ledger, metrics, weights, figures and embeddings equal those of commands left alone")


if __name__ == "__main__":
    main()
