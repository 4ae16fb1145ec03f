"""How large the index is and how long it takes to load, for as many clips as VGGSound has.

    python benchmarks/index.py [--clips 200000] [--frames 40] [--clips-per-shard 256]

Writes the tables and the manifest of made-up clips, without their tars, into a temporary folder. Then, each in a new
process, so that its memory is its own: every clip of the split in flat arrays, as training reads them; every column of
every table; a question to all tables by DuckDB; the ranges of a frame and of a second of sound at random. Files are in
the page cache, as they were just written.
"""

import argparse
import hashlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_type_hints

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.files import write_atomically
from avcorr.pipeline.moments.catalogue import Catalogue
from avcorr.shards.dataset import Dataset
from avcorr.shards.format.clip import ClipMetadata
from avcorr.shards.format.tar import BLOCK, Member, closing
from avcorr.shards.index.clip_table import TableWriter
from avcorr.shards.index.layout import DATASET, ShardName, write_json
from avcorr.shards.index.record import ShardEntry
from avcorr.shards.index.shard_list import write_manifest

RATE, SECONDS, ROUNDS = 16000, 10, 20_000
BY_TYPE = {int: 1, float: 0.5, str: "text", bool: False, list[int]: [1], list[float]: [0.5], list[str]: ["text"]}


def write(root: Path, clips: int, frames: int, per_shard: int) -> None:
    """Write the tables of all shards and the manifest."""
    entries: list[ShardEntry] = []
    common = {name: BY_TYPE[kind] for name, kind in get_type_hints(ClipMetadata).items()}
    common |= {"split": "train", "sample_rate": RATE, "sample_count": RATE * SECONDS, "duration": float(SECONDS)}
    chance = random.Random(0)
    for number, first in enumerate(range(0, clips, per_shard)):
        writer, end = TableWriter(), 0
        for clip in range(first, min(first + per_shard, clips)):
            name, offsets, shift = f"vid{clip:08d}", [0], chance.random() / 25
            for _ in range(frames):
                offsets.append(offsets[-1] + chance.randint(12_000, 20_000))
            label = f"class {chance.randrange(309)}"
            values = common | {
                "key": f"v{name}_000030", "video": name, "source": f"{name}.mp4", "label": label, "labels": [label],
                "frame_offsets": offsets, "loudness": chance.uniform(-60, -10), "peak": chance.random(),
                "frame_times": [round(SECONDS * n / frames + shift, 6) for n in range(frames)],
                "motion": chance.uniform(0, 50), "silent": chance.random() < 0.02,
            }  # fmt: skip
            members = []
            for size in (chance.randint(1400, 1600), 44 + 2 * RATE * SECONDS, offsets[-1]):
                members.append(Member("", end + BLOCK, size))
                end = members[-1].end
            writer.add(ClipMetadata(**values), members)
        (data, digest), shard = writer.encode(), ShardName("x", "train", number)
        path, count = root / shard.table, min(per_shard, clips - first)
        write_atomically(path, data)
        entries.append(
            ShardEntry(path=shard.path, split="train", size=end + len(closing(end)), sha256="0" * 64, md5="0" * 32,
                       clips=count, frames=count * frames, seconds=count * SECONDS,
                       table_sha256=hashlib.sha256(data).hexdigest(), clips_digest=digest)
        )  # fmt: skip
    write_manifest(root, entries)
    write_json(root / DATASET, {"format": 1})


def catalogue(root: Path) -> None:
    """Read what training needs of every clip."""
    Catalogue(root, "train", 1.0)


def everything(root: Path) -> None:
    """Decode every column of every table."""
    dataset = Dataset(root)
    for _ in dataset.tables(dataset.shards):
        pass


def question(root: Path) -> None:
    """Ask all tables which clips can be heard and have one of two labels."""
    import duckdb

    tables = [str(root / entry.table) for entry in Dataset(root).shards]
    text = "select key from read_parquet(?) where not silent and label in ('class 1', 'class 2')"
    duckdb.execute(text, [tables]).fetchall()


def ranges(root: Path) -> None:
    """Find a frame and a second of sound at random; the tables are read first."""
    clips, chance = Dataset(root).clips(splits=["train"]), random.Random(0)
    found = clips.take([chance.randrange(len(clips)) for _ in range(ROUNDS)])
    began = time.perf_counter()
    for clip in found:
        clip.frame(chance.randrange(len(clip.frame_times)))
        clip.samples(0, RATE)
    print(f"a frame and a second: {1e6 * (time.perf_counter() - began) / ROUNDS:.1f} us; with the tables: ", end="")


PARTS = {part.__name__: part for part in (catalogue, everything, question, ranges)}


def main() -> None:
    """Print sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--clips-per-shard", type=int, default=256)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        began, used = time.perf_counter(), time.process_time()
        PARTS[arguments.part](arguments.root)
        wall, cpu = time.perf_counter() - began, time.process_time() - used
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{wall:.2f} s, {cpu:.2f} s of CPU, {memory:.0f} MB")
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, arguments.clips, arguments.frames, arguments.clips_per_shard)
        sizes = [path.stat().st_size for path in root.rglob("*.parquet")]
        print(f"{len(sizes)} shards: {sum(sizes) / 1e6:.1f} MB of tables, {sum(sizes) / arguments.clips:.0f} a clip")
        for name in PARTS:
            print(f"{name}: ", end="", flush=True)
            subprocess.run([sys.executable, __file__, "--part", name, "--root", folder], check=True)


if __name__ == "__main__":
    main()
