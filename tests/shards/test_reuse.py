"""The shards as others read them, unmodified: webdataset, wids, Hugging Face datasets, tarfile, DALI, energon.

Ray Data and energon are too large for CI; benchmarks/compatibility.py runs them.
"""

import contextlib
import io
import json
import shutil
import sqlite3
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset
import yaml
from PIL import Image

from avcorr.shards.dataset import Dataset
from avcorr.shards.exports.dali import write_dali
from avcorr.shards.exports.dataset_card import write_card
from avcorr.shards.exports.energon import write_energon
from avcorr.shards.exports.finish import finish_dataset
from avcorr.shards.index.layout import INDEX
from avcorr.shards.index.shard_list import read_manifest
from avcorr.shards.reader import read_clips
from tests.support.tables import keys_of


def tars(root: Path) -> list[str]:
    return [str(root / record.path) for record in Dataset(root).of_split("train")]


def keys(root: Path) -> list[str]:
    return [key for record in Dataset(root).of_split("train") for key in keys_of(root, record)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to the collector
def test_webdataset_with_the_ten_lines_of_readme(shards: Path) -> None:
    found = []
    for sample in webdataset.WebDataset(tars(shards), shardshuffle=False):
        clip = json.loads(sample["json"])
        found.append(sample["__key__"])
        sound, rate = soundfile.read(io.BytesIO(sample["wav"]), dtype="int16")
        assert (len(sound), rate) == (clip["sample_count"], 16000)
        offsets = clip["frame_offsets"]
        for start, stop in zip(offsets, offsets[1:], strict=False):
            frame = Image.open(io.BytesIO(sample["mjpg"][start:stop]))
            assert frame.size == (clip["width"], clip["height"]) and np.asarray(frame).std() > 10
    assert found == keys(shards)


def test_tarfile_and_our_reader_agree(shards: Path) -> None:
    record = Dataset(shards).of_split("train")[0]
    with tarfile.open(shards / record.path) as archive:
        contents = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    for clip in read_clips(shards, record):
        assert dict(clip.members()) == {
            name: contents.pop(name) for name in list(contents) if name.startswith(clip.key)
        }
    assert not contents


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """The dataset with all that is only written on request, too."""
    root = tmp_path_factory.mktemp("everything") / "root"
    shutil.copytree(shards, root)
    write_energon(root)
    write_dali(root)
    return root


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("way", ["root", "data_files", "streaming"])
def test_hugging_face_datasets(tmp_path: Path, everything: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    try:
        from torchcodec.decoders import AudioDecoder

        AudioDecoder(next(read_clips(everything, Dataset(everything).of_split("train")[0])).wav)  # loads them only now
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(
            f"datasets decodes sound with torchcodec, which finds no libraries of ffmpeg here: {str(error)[:80]}"
        )
    if way == "data_files":
        files = {"train": tars(everything)}
        loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))
    else:
        loaded = datasets.load_dataset(str(everything), streaming=way == "streaming", cache_dir=str(tmp_path))
        assert set(loaded) == {"train", "test"}
    rows = list(loaded["train"])
    assert [row["__key__"] for row in rows] == keys(everything)
    for row in rows:
        assert isinstance(row["json"]["frame_times"], list) and row["mjpg"][:2] == b"\xff\xd8"
        samples = row["wav"].get_all_samples()
        assert (samples.data.shape[1], samples.sample_rate) == (row["json"]["sample_count"], 16000)


@pytest.mark.filterwarnings("default")
def test_hugging_face_takes_the_index_for_no_shard(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data_dir` opens every file but those of folders such as `__index__`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("webdataset", data_dir=str(shards), cache_dir=str(tmp_path))
    assert list(loaded["train"]["__key__"]) == keys(shards)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_wids(everything: Path) -> None:
    wids = pytest.importorskip("wids")
    path = everything / INDEX / "wids-train.json"
    dataset = wids.ShardListDataset(str(path), localname=lambda url: url, transformations=[])
    assert [dataset[number]["__key__"] for number in range(len(dataset))] == keys(everything)
    clip = next(read_clips(everything, Dataset(everything).of_split("train")[0]))
    assert {suffix: dataset[0][f".{suffix}"].read() for suffix in ("wav", "mjpg")} == {
        "wav": clip.wav,
        "mjpg": clip.mjpg,
    }
    for shard in json.loads(path.read_text())["shardlist"]:
        tar = path.parent / shard["url"]
        assert tar.stat().st_size == shard["filesize"]
        with tar.open("rb") as stream:
            wids.wids.IndexedTarSamples(stream=stream, md5sum=shard["md5sum"], expected_size=shard["nsamples"]).close()


def members(path: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return archive.getmembers()


def test_the_index_of_dali_by_its_own_rules(everything: Path) -> None:
    """A line a sample, `suffix offset size name` for each member, as DALI's tool wds2idx writes it."""
    for path in tars(everything):
        text = (everything / INDEX / "dali" / "train" / f"{Path(path).stem}.idx").read_text().splitlines()
        assert text[0] == "v1.2 4"
        found = []
        for line in text[1:]:
            words = line.split()
            found += [tuple(words[start : start + 4]) for start in range(0, len(words), 4)]
        assert found == [
            (info.name.partition(".")[2], str(info.offset_data), str(info.size), info.name)
            for info in members(Path(path))
        ]


def test_the_files_of_energon_by_its_own_rules(everything: Path) -> None:
    """`energon prepare` takes tarfile's offsets; benchmarks/compatibility.py compares with what it writes itself."""
    meta, samples, parts = everything / ".nv-meta", [], []
    entries = read_manifest(everything).shards
    for number, entry in enumerate(entries):
        infos = members(everything / entry.path)
        end = infos[-1].offset_data + infos[-1].size + -infos[-1].size % 512
        edges = [info.offset for info in infos[::3]] + [end]
        assert (everything / f"{entry.path}.idx").read_bytes() == struct.pack(f"<{len(edges)}Q", *edges)
        for row, info in enumerate(infos[::3]):
            samples.append((number, info.name.partition(".")[0], row, edges[row], edges[row + 1] - edges[row]))
        for place, info in enumerate(infos):
            parts.append((number, place // 3, info.name.partition(".")[2], info.offset_data, info.size))
    with contextlib.closing(sqlite3.connect(meta / "index.sqlite")) as database:
        assert database.execute("SELECT * FROM samples").fetchall() == samples
        assert database.execute("SELECT * FROM sample_parts").fetchall() == parts
    assert json.loads((meta / ".info.json").read_text())["shard_counts"] == {e.path: e.clips for e in entries}
    split = yaml.safe_load((meta / "split.yaml").read_text())
    assert split == {
        "split_parts": {s: [e.path for e in entries if e.split == s] for s in ("test", "train")},
        "exclude": [],
    }


def test_the_card_is_renewed_but_never_someone_elses(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    written = (root / "README.md").read_text()
    front = yaml.safe_load(written.split("---")[1])
    assert front["configs"][0]["data_files"][0] == {"split": "train", "path": "train/*.tar"}
    assert "| train | 2 | 8 |" in written
    (root / "README.md").write_text(written + "an old line")
    assert write_card(root, read_manifest(root).shards) and (root / "README.md").read_text() == written
    (root / "README.md").write_text("# Mine")
    assert not write_card(root, read_manifest(root).shards) and (root / "README.md").read_text() == "# Mine"


def test_a_sample_loader_of_the_user_stays(tmp_path: Path, shards: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    (root / ".nv-meta").mkdir()
    (root / ".nv-meta" / "dataset.yaml").write_text("mine: 1")
    finish_dataset(root)
    assert (root / ".nv-meta" / "dataset.yaml").read_text() == "mine: 1"
    assert len(list(root.glob("*/*.tar.idx"))) == 3
