"""The shards as others read them, unmodified: plain webdataset, Hugging Face datasets, plain tarfile."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset
from PIL import Image

from shards.index import Index
from shards.reader import read_clips


def tars(root: Path) -> list[str]:
    return [str(root / record.path) for record in Index(root).of_split("train")]


def keys(root: Path) -> list[str]:
    return [clip.key for record in Index(root).of_split("train") for clip in record.clips]


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
    record = Index(shards).of_split("train")[0]
    with tarfile.open(shards / record.path) as archive:
        contents = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    for clip in read_clips(shards, record):
        assert dict(clip.members()) == {
            name: contents.pop(name) for name in list(contents) if name.startswith(clip.key)
        }
    assert not contents


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_datasets(tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    try:
        import torchcodec  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(
            f"datasets decodes sound with torchcodec, which finds no libraries of ffmpeg here: {str(error)[:80]}"
        )
    dataset = datasets.load_dataset(
        "webdataset", data_files={"train": tars(shards)}, split="train", streaming=streaming, cache_dir=str(tmp_path)
    )
    rows = list(dataset)
    assert [row["__key__"] for row in rows] == keys(shards)
    for row in rows:
        assert isinstance(row["json"]["frame_times"], list) and row["mjpg"][:2] == b"\xff\xd8"
        samples = row["wav"].get_all_samples()
        assert (samples.data.shape[1], samples.sample_rate) == (row["json"]["sample_count"], 16000)
