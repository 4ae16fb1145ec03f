"""Embeddings and their index that are not what they say: told in one line, and nothing is asked for that they claim."""

import hashlib
import json
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.errors import RetrievalError
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import build_index
from tests.support.embeddings import Made, make_embeddings
from tests.support.odd_files import put

PART = "part-000001"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_embeddings(tmp_path_factory.mktemp("e") / "made")


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.folder, tmp_path / "e"))


def set_entry(values: Any, name: str, value: object) -> None:
    *places, last = name.split("/")
    for place in places:
        values = values[place]
    if value is ...:
        del values[last]
    else:
        values[last] = value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("format", 9, "has format 9; this program reads format 1"),
        ("format", "1", r"is damaged \(format: input should be a valid integer"),
        ("identity", [], r"is damaged \(identity: "),
        ("identity/model", 3, r"is damaged \(identity.model: input should be a valid string"),
        ("shards", 3, r"is damaged \(shards: "),
        ("shared_space", ..., "is not finished"),
        ("parts", [], r"is damaged \(parts: "),
        ("parts/../../evil", {"rows": 1, "shard_sha256": "", "clips_sha256": ""}, "is damaged"),
        (f"parts/{PART}/rows", 10**15, r"is damaged \(parts.part-000001.rows: "),
        (f"parts/{PART}/rows", 81, "80 views of 81 rows"),
        (f"parts/{PART}/clips_sha256", ..., r"clips_sha256 is not there"),
    ],
)
def test_a_forged_list_of_parts_is_told_by_its_entry(folder: Path, name: str, value: object, words: str) -> None:
    path = folder / "embeddings.json"
    values = json.loads(path.read_text())
    if name.startswith("parts/.."):
        values["parts"]["../../evil"] = value
    else:
        set_entry(values, name, value)
    path.write_text(json.dumps(values))
    with pytest.raises(RetrievalError, match=words):
        EmbeddingFolder(folder)


@pytest.mark.parametrize("text", ["[" * 200_000, "NaN", "", "\xff", "pipe", "zero"])
@pytest.mark.parametrize("name", ["embeddings.json", "index.json", f"{PART}.jsonl", f"{PART}.safetensors"])
def test_what_is_no_such_file_is_told(folder: Path, name: str, text: str) -> None:
    path = folder / name
    put(path, text)
    with pytest.raises(RetrievalError, match=r"avcorr embed|embed again"):
        Searcher(EmbeddingFolder(folder))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"views": 4', '"views": 4000000000000', "views: input should be less than"),
        ('"views": 4', '"views": 5', "81 views of 80 rows"),
        ('"views": 4', '"views": -4', "views: input should be greater"),
        ('"video": ', '"video": 9999999999999999999', "video: input should be less than|unable to parse"),
        ('"key": ', '"kex": ', "key is not there"),
        ('"label": "', '"label": ["', "is damaged"),
    ],
)
def test_forged_clips_are_told_though_their_digest_is_right(folder: Path, before: str, after: str, words: str) -> None:
    path, listed = folder / f"{PART}.jsonl", folder / "embeddings.json"
    data = path.read_text().replace(before, after, 1).encode()
    path.write_bytes(data)
    values = json.loads(listed.read_text())
    values["parts"][PART]["clips_sha256"] = hashlib.sha256(data).hexdigest()
    listed.write_text(json.dumps(values))
    with pytest.raises(RetrievalError, match=words):
        EmbeddingFolder(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda part: part.pop("hash"), "does not hold image, audio, time and hash"),
        (lambda part: part.update(image=part["image"].astype(np.float64)), "does not hold image, audio, time and hash"),
        (lambda part: part.update(audio=part["audio"][:, :9]), "does not hold image, audio, time and hash"),
        (lambda part: part.update({name: each[:-1] for name, each in part.items()}), "it has 79 rows, not 80"),
        (lambda part: part.update({side: part[side][:, :9].copy() for side in ("image", "audio")}), "several lengths"),
        (lambda part: part["image"].fill(np.nan), "its image is not finite"),
    ],
)
def test_forged_vectors_are_told(folder: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    path = folder / f"{PART}.safetensors"
    part = dict(load_file(path))
    change(part)
    save_file({name: np.ascontiguousarray(value) for name, value in part.items()}, path)
    (folder / "index.json").unlink()
    with pytest.raises(RetrievalError, match=words):
        build_index(folder)


@pytest.mark.parametrize("kind", ["exact", "ivf"])
@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("image.faiss", 4, 1 << 30), ("audio.faiss", 8, 1 << 30), ("audio.faiss", 0, 7), ("times.npy", 0, 7),
     ("hashes.npy", 24, 7)],
)  # fmt: skip
def test_an_index_says_of_itself_what_is_looked_for(
    made: Made, folder: Path, kind: Any, name: str, place: int, value: int
) -> None:
    build_index(folder, kind)
    data = bytearray((folder / name).read_bytes())
    data[place : place + 4] = struct.pack("<i", value)
    (folder / name).write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RetrievalError, match="is of damaged files .*; delete it and embed again"):
        Searcher(EmbeddingFolder(folder))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize(
    ("name", "value"), [("kind", "tree"), ("clusters", "4"), ("clusters", -1), ("bytes", [1]), ("embeddings", 3)]
)
def test_a_forged_description_is_no_index(folder: Path, name: str, value: object) -> None:
    described = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**described, name: value}))
    with pytest.raises(RetrievalError, match="has no index; run the same avcorr embed again"):
        Searcher(EmbeddingFolder(folder))
    build_index(folder)
    assert len(Searcher(EmbeddingFolder(folder)).index.times) == 240
