"""Give the packer damaged copies of real clips, beside a whole one, and see that nothing worse comes of it than a row.

    python benchmarks/hostile.py --media DIR [--cuts 20] [--flips 5] [--decoder ffmpeg|pyav] [--set ...]

Each round damages every clip of the folder once and shards the lot with `run.py shard`. It is an error when that ends
other than it should, takes longer than `--hang` seconds, lacks a row of the ledger for an input, or packs the control
clip, which lies in every round, with other bytes than alone. Rounds with streams that change, clocks that jump, other
colours and no damage are sharded `--runs` times and must give the same bytes each time. Exit code 1 then.
"""

import argparse
import json
import os
import random
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.pipeline.sources.find import VIDEO_SUFFIXES
from avcorr.shards.index.layout import DATASET, LEDGER
from tests.support.hostile import (
    NAMES,
    Harm,
    change,
    claim,
    cut,
    flip,
    jump,
    make_nodes,
    misdate,
    retag,
    run_shard,
    widen,
)

CONTROL = "control-clip"
STREAMS, CLOCKS, COLOURS = "streams that change", "clocks that jump", "colour tags changed"
REPEATED = (COLOURS, STREAMS, CLOCKS, "whole")


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    inputs: int = 0
    packed: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds of the clip that took longest."""
    peak: float = 0.0
    """MB of the largest process: the program's own, ffmpeg's or a worker's."""
    errors: list[str] = field(default_factory=list)


def rounds(arguments: argparse.Namespace) -> Iterator[tuple[str, Harm]]:
    """Yield each round's kind and what it does to a clip; None leaves the clip out."""
    for _ in range(arguments.cuts):
        yield "cut", cut
    for number in range(arguments.flips):
        yield (
            f"{10 ** (number % 4)} bytes changed",
            lambda data, chance, count=10 ** (number % 4): flip(data, chance, count),
        )
    yield "claims 10 hours", lambda data, _: claim(data, 36000) if b"mvhd" in data else None
    for width, height in ((100_000, 96), (100_000, 100_000), (16_384, 16_384)):
        yield (
            f"claims {width} x {height}",
            lambda data, _, size=(width, height): (
                widen(data, *size) if all(name in data for name in (b"avcC", b"avc1", b"stsd")) else None
            ),
        )
    yield "sound 22 hours early", lambda data, _: misdate(data, 80000) if is_stream(data) else None
    yield COLOURS, retag
    yield STREAMS, change
    yield CLOCKS, jump
    yield "names", lambda data, _: None
    yield "no files", lambda data, _: None
    yield "whole", lambda data, _: data
    yield "whole, vanishing", lambda data, _: data


def is_stream(data: bytes) -> bool:
    """Return whether this is an MPEG-TS with MPEG sound."""
    return data[:1] == data[188:189] == b"G" and b"\0\0\1\xc0" in data


def shard(folder: Path, root: Path, arguments: argparse.Namespace) -> tuple[int | None, str, float]:
    """Run the program; return its exit code, None where it hung, what it said and MB of its largest process."""
    settings = ("shard.test_fraction=0", f"shard.decoder={arguments.decoder}", *arguments.set)
    words = [word for text in settings for word in ("--set", text)]
    return run_shard(folder, root, "--workers", str(arguments.workers), *words, hang=arguments.hang)


def clips_of(root: Path) -> dict[str, bytes]:
    """Return the content of each member of the shards."""
    found = {}
    for path in sorted(root.glob("train/*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                content = shard.extractfile(member)
                if content:
                    found[member.name] = content.read()
    return found


def control(root: Path) -> dict[str, bytes]:
    """Return the members of the control clip as they were packed."""
    return {name: data for name, data in clips_of(root).items() if name.startswith(f"v{CONTROL}.")}


def check(tally: Tally, root: Path, names: set[str], code: int | None, said: str, expected: dict[str, bytes]) -> None:
    """Note what became of one round, and what is wrong with it."""
    if code != 0 or "Traceback" in said:
        tally.errors.append(f"{'hung' if code is None else f'ended with {code}'}: {said[-2000:]}")
        return
    rows: list[dict[str, Any]] = [json.loads(line) for line in (root / LEDGER).read_text(encoding="utf-8").splitlines()]
    if {row["source"] for row in rows} != names or len(rows) != len(names):
        tally.errors.append(f"{len(rows)} rows of the ledger for {len(names)} inputs")
    if control(root) != expected:
        tally.errors.append("the control clip has other bytes than alone")
    for row in rows:
        if not row["source"].startswith(CONTROL):
            tally.inputs += 1
            tally.packed += row["status"] == "packed"
            tally.skipped += row["status"] == "skipped"
            tally.reasons.update([row["code"]] if row["status"] == "failed" else [])
            tally.slowest = max(tally.slowest, row["seconds"])


def run_round(
    kind: str, damage: Harm, arguments: argparse.Namespace, seed: str, expected: dict[str, bytes], tally: Tally
) -> None:
    """Harm every clip once, shard them and check."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder, root = Path(scratch, "videos"), Path(scratch, "root")
        folder.mkdir()
        names = set()
        for path in clips(arguments.media):
            data = damage(path.read_bytes(), chance)
            if data is not None:
                (folder / path.name).write_bytes(data)
                names.add(path.name)
        if kind == "no files":
            names = set(make_nodes(folder))
        if kind == "names":
            names = set(add_names(folder, arguments.media))
        name = add_control(folder, arguments.media)
        done = threading.Event()
        thief = threading.Thread(target=steal, args=(folder, sorted(names), chance, done))
        if kind == "whole, vanishing":
            thief.start()
        code, said, peak = shard(folder, root, arguments)
        done.set()
        if thief.ident:
            thief.join()
        tally.peak = max(tally.peak, peak)
        check(tally, root, names | {name}, code, said, expected)
        for number in range(1, arguments.runs if kind in REPEATED else 1):
            again = Path(scratch, f"root{number}")
            shard(folder, again, arguments)
            if clips_of(again) != clips_of(root):
                different = {key for key in clips_of(root) if clips_of(root)[key] != clips_of(again).get(key)}
                tally.errors.append(f"run {number + 1} gave other bytes: {', '.join(sorted(different))}")


def steal(folder: Path, names: list[str], chance: random.Random, done: threading.Event) -> None:
    """Delete half of the files one by one, and put another in the place of every fourth, once decoding has begun."""
    while not (folder.parent / "root" / DATASET).exists() and not done.wait(0.02):
        pass
    chance.shuffle(names)
    for number, name in enumerate(names):
        if done.wait(0.05):
            return
        with suppress(OSError):
            if number % 4 == 0:
                (folder / f"{name}.new").write_bytes((folder / names[-1]).read_bytes())
                (folder / f"{name}.new").replace(folder / name)
            elif number % 2:
                (folder / name).unlink()


def clips(media: Path) -> list[Path]:
    """Return the videos of a folder."""
    return sorted(path for path in media.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())


def add_control(folder: Path, media: Path) -> str:
    """Put the control clip into a folder: the first that is an MP4."""
    (folder / f"{CONTROL}.mp4").write_bytes(first_mp4(media))
    return f"{CONTROL}.mp4"


def add_names(folder: Path, media: Path) -> Iterator[str]:
    """Give a whole clip names that programs trip over; yield them as the ledger has them."""
    for name in NAMES:
        if name != b".mp4":  # a name without a suffix is no video's
            (folder / os.fsdecode(name)).write_bytes(first_mp4(media))
            yield name.decode("utf-8", "backslashreplace")


def first_mp4(media: Path) -> bytes:
    """Return the first MP4 of a folder."""
    return next(path for path in clips(media) if path.suffix == ".mp4").read_bytes()


def main() -> None:
    """Print one line a kind and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--flips", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3, help="times that the rounds without damage are sharded")
    parser.add_argument("--decoder", choices=["ffmpeg", "pyav"], default="ffmpeg")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hang", type=float, default=1800.0, help="seconds after which a round counts as hung")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        add_control(Path(scratch), arguments.media)
        code, said, _ = shard(Path(scratch), Path(scratch, "root"), arguments)
        expected = control(Path(scratch, "root"))
    if code != 0 or not expected:
        sys.exit(f"the first MP4 of {arguments.media} cannot be packed alone: {said}")
    tallies: dict[str, Tally] = {}
    todo = list(rounds(arguments))
    for number, (kind, damage) in enumerate(todo):
        tally = tallies.setdefault(kind, Tally())
        run_round(kind, damage, arguments, f"{arguments.seed} {number}", expected, tally)
        print(f"{kind}: round {number + 1} of {len(todo)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"decoder {arguments.decoder}, {time.monotonic() - began:.0f} s\n")
    print("| kind | inputs | packed | failed | skipped | slowest, s | peak, MB |\n|---|---|---|---|---|---|---|")
    for kind, tally in tallies.items():
        failed = ", ".join(f"{code} {count}" for code, count in tally.reasons.most_common()) or "0"
        print(f"| {kind} | {tally.inputs} | {tally.packed} | {failed} | {tally.skipped} | {tally.slowest:.1f} "
              f"| {tally.peak:.0f} |")  # fmt: skip
    errors = [f"{kind}: {error}" for kind, tally in tallies.items() for error in tally.errors]
    print("\n".join(errors) or "\nno crash, no hang, no row missing; the control clip has the same bytes in each round")
    sys.exit(bool(errors))


if __name__ == "__main__":
    main()
