"""Read one dataset with every loader that is installed, unmodified, and say what each found.

    python benchmarks/compatibility.py ROOT [--split train]
    pip install wids datasets torchcodec megatron-energon 'ray[data]' polars pandas nvidia-dali-cuda120  # any of them

ROOT was made with `avcorr shard --energon --dali`. Each loader has to give the keys of the index with WAVs and frames
of the right sizes. `energon prepare` is run on a copy, and what it writes is compared with what we wrote. Exit code 1
if any loader that is installed disagrees. One row a loader; `-` where it is not installed.
"""

import argparse
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from avcorr.shards.dataset import Dataset
from avcorr.shards.index.layout import INDEX
from avcorr.shards.index.shard_list import read_manifest

Found = dict[str, tuple[int, int]]
"""Of each key: bytes of its wav and its mjpg."""


def expected(root: Path, split: str) -> Found:
    """Return what the index says."""
    found = {}
    for clip in Dataset(root).clips(splits=[split]):
        wav, mjpg = clip.member("wav"), clip.member("mjpg")
        found[clip.key] = (wav.stop - wav.start, mjpg.stop - mjpg.start)
    return found


def tars(root: Path, split: str) -> list[str]:
    """Return the paths of a split's shards."""
    return [str(root / entry.path) for entry in Dataset(root).of_split(split)]


def tables(root: Path, split: str) -> list[str]:
    """Return the paths of a split's tables."""
    return [str(root / entry.table) for entry in Dataset(root).of_split(split)]


def webdataset(root: Path, split: str) -> Found:
    """Iterate the tars."""
    import webdataset as library

    samples = library.WebDataset(tars(root, split), shardshuffle=False)
    return {sample["__key__"]: (len(sample["wav"]), len(sample["mjpg"])) for sample in samples}


def wids(root: Path, split: str) -> Found:
    """Fetch every sample by its number."""
    from wids import ShardListDataset

    index = str(root / INDEX / f"wids-{split}.json")
    dataset = ShardListDataset(index, localname=lambda url: url, transformations=[])
    samples = (dataset[number] for number in range(len(dataset)))
    return {sample["__key__"]: tuple(len(sample[name].read()) for name in (".wav", ".mjpg")) for sample in samples}


def _rows(dataset: object) -> Found:
    from datasets import Audio

    plain = dataset.cast_column("wav", Audio(decode=False))  # type: ignore[attr-defined]
    return {row["__key__"]: (len(row["wav"]["bytes"]), len(row["mjpg"])) for row in plain}


def datasets_root(root: Path, split: str) -> Found:
    """Load the folder by its card."""
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        return _rows(datasets.load_dataset(str(root), split=split, cache_dir=cache))


def datasets_files(root: Path, split: str) -> Found:
    """Load named tars."""
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        files = {split: tars(root, split)}
        return _rows(datasets.load_dataset("webdataset", data_files=files, split=split, cache_dir=cache))


def datasets_streaming(root: Path, split: str) -> Found:
    """Stream the folder by its card."""
    import datasets

    return _rows(datasets.load_dataset(str(root), split=split, streaming=True))


def datasets_tables(root: Path, split: str) -> Found:
    """Load the tables."""
    import datasets

    with tempfile.TemporaryDirectory() as cache:
        files = {split: tables(root, split)}
        rows = datasets.load_dataset("parquet", data_files=files, split=split, cache_dir=cache)
        return {row["key"]: (row["wav_size"], row["mjpg_size"]) for row in rows}


def duckdb(root: Path, split: str) -> Found:
    """Ask the tables."""
    import duckdb as library

    rows = library.execute("select key, wav_size, mjpg_size from read_parquet(?)", [tables(root, split)]).fetchall()
    return {key: (wav, mjpg) for key, wav, mjpg in rows}


def polars(root: Path, split: str) -> Found:
    """Scan the tables, three columns of them."""
    import polars as library

    rows = library.scan_parquet(tables(root, split)).select("key", "wav_size", "mjpg_size").collect().rows()
    return {key: (wav, mjpg) for key, wav, mjpg in rows}


def pandas(root: Path, split: str) -> Found:
    """Read each table, lists and all."""
    import pandas as library

    table = library.concat([library.read_parquet(path) for path in tables(root, split)])
    return {key: (wav, mjpg) for key, wav, mjpg in zip(table.key, table.wav_size, table.mjpg_size, strict=True)}


def pyarrow(root: Path, split: str) -> Found:
    """Read all tables as one dataset."""
    from pyarrow import dataset

    rows = dataset.dataset(tables(root, split)).to_table().select(["key", "wav_size", "mjpg_size"]).to_pylist()
    return {row["key"]: (row["wav_size"], row["mjpg_size"]) for row in rows}


def ray(root: Path, split: str) -> Found:
    """Read the tars as a Ray dataset."""
    import ray as library

    library.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        rows = library.data.read_webdataset(tars(root, split), decoder=False).take_all()
    finally:
        library.shutdown()
    return {row["__key__"]: (len(row["wav"]), len(row["mjpg"])) for row in rows}


def energon(root: Path, split: str) -> Found:
    """Load the folder by `.nv-meta`, as one epoch."""
    from megatron.energon import (
        Cooker,
        DefaultTaskEncoder,
        TextSample,
        WorkerConfig,
        basic_sample_keys,
        get_loader,
        get_val_dataset,
        stateless,
    )

    @stateless
    def cook(sample: dict) -> TextSample:
        sizes = {"wav": len(sample["wav"]), "mjpg": len(sample["mjpg"])}
        return TextSample(
            **basic_sample_keys(sample), text=json.dumps({"key": json.loads(sample["json"])["key"], **sizes})
        )

    class Encoder(DefaultTaskEncoder):
        cookers = [Cooker(cook)]
        decoder = None

    workers = WorkerConfig(rank=0, world_size=1, num_workers=0)
    dataset = get_val_dataset(root, split_part=split, worker_config=workers, batch_size=1, task_encoder=Encoder())
    texts = [json.loads(text) for batch in get_loader(dataset) for text in batch.text]
    return {text["key"]: (text["wav"], text["mjpg"]) for text in texts}


def energon_prepare(root: Path, split: str) -> Found:
    """Let `energon prepare` index a copy, and compare its files with ours."""
    import megatron.energon  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        copy, program = Path(folder) / "copy", str(Path(sys.executable).with_name("energon"))
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".nv-meta", "*.tar.idx"))
        command = [program, "prepare", str(copy), "--non-interactive", "--no-progress", "--num-workers", "1",
                   "--split-parts", f"{split}:{split}/.*", "--sample-type", "CrudeWebdataset"]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for entry in read_manifest(root).shards:
            name = f"{entry.path}.idx"
            if (copy / name).read_bytes() != (root / name).read_bytes():
                raise ValueError(f"{name} differs")
        dumps = []
        for base in (copy, root):
            with sqlite3.connect(base / ".nv-meta" / "index.sqlite") as database:
                dumps.append(
                    [database.execute(f"SELECT * FROM {table}").fetchall() for table in ("samples", "sample_parts")]
                )
            counts = json.loads((base / ".nv-meta" / ".info.json").read_text())["shard_counts"]
            dumps[-1].append(counts)
        if dumps[0] != dumps[1]:
            raise ValueError("the tables of index.sqlite or the counts differ")
    return expected(root, split)


def dali(root: Path, split: str) -> Found:
    """Read the tars by the index that we wrote, on a CPU."""
    from nvidia.dali import fn, pipeline_def

    paths = tars(root, split)
    indices = [str(root / INDEX / "dali" / split / f"{Path(path).stem}.idx") for path in paths]

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def clips() -> tuple[object, ...]:
        members = ["json", "wav", "mjpg"]
        return tuple(fn.readers.webdataset(paths=paths, ext=members, index_paths=indices, name="clips"))

    pipeline, found = clips(), Found()
    pipeline.build()
    for _ in range(pipeline.epoch_size("clips")):
        clip, wav, mjpg = (bytes(member.at(0)) for member in pipeline.run())
        found[json.loads(clip)["key"]] = (len(wav), len(mjpg))
    return found


def dali_index(root: Path, split: str) -> Found:
    """Parse DALI's index and read the tars by it."""
    found: Found = {}
    for path in tars(root, split):
        header, *lines = (root / INDEX / "dali" / split / f"{Path(path).stem}.idx").read_text().splitlines()
        data = Path(path).read_bytes()
        if header != f"v1.2 {len(lines)}":
            raise ValueError(f"the header is {header}")
        for line in lines:
            words = line.split()
            spans = {words[n]: (int(words[n + 1]), int(words[n + 2])) for n in range(0, len(words), 4)}
            offset, size = spans["json"]
            key = json.load(io.BytesIO(data[offset : offset + size]))["key"]
            found[key] = (spans["wav"][1], spans["mjpg"][1])
    return found


LOADERS: list[tuple[str, str, Callable[[Path, str], Found]]] = [
    ("webdataset", "webdataset", webdataset),
    ("wids", "wids", wids),
    ("datasets, load_dataset(root)", "datasets", datasets_root),
    ("datasets, data_files", "datasets", datasets_files),
    ("datasets, streaming", "datasets", datasets_streaming),
    ("Ray Data", "ray", ray),
    ("Megatron Energon", "megatron-energon", energon),
    ("energon prepare, its files", "megatron-energon", energon_prepare),
    ("NVIDIA DALI, on a CPU", "nvidia-dali-cuda120", dali),
    ("DALI's index, parsed", "", dali_index),
    ("datasets, the tables", "datasets", datasets_tables),
    ("DuckDB, the tables", "duckdb", duckdb),
    ("polars, the tables", "polars", polars),
    ("pandas, the tables", "pandas", pandas),
    ("pyarrow, the tables", "pyarrow", pyarrow),
]


def main() -> int:
    """Print the matrix; return 1 when an installed loader disagrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--split", default="train")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    root, wanted, bad = arguments.root.resolve(), expected(arguments.root, arguments.split), 0
    for name, package, read in LOADERS:
        try:
            release = version(package) if package else ""
            found = read(root, arguments.split)
            result = f"all {len(found)} clips" if found == wanted else f"DISAGREES: {len(found)} of {len(wanted)} clips"
            bad += found != wanted
        except PackageNotFoundError:
            release, result = "-", "not installed"
        except Exception as error:
            bad, result = bad + 1, f"FAILS: {type(error).__name__}: {str(error)[:150]}"
        print(f"{name:30} {release:10} {result}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
