"""Embeddings of a dataset on disk: what they are, that they go on after an interruption, and whose they are."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from avcorr import model as product
from avcorr.model.embedding.embedder import Embedder
from avcorr.pipeline.galleries.gallery import Gallery
from avcorr.retrieval.embed_dataset import digest_of, embed_dataset
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.errors import RetrievalError
from avcorr.retrieval.vectors import INDEX, build_index
from avcorr.shards.errors import ShardError
from tests.support.commands import command
from tests.support.mounts import small_files
from tests.support.servers import S3Server


def test_each_row_is_the_model_on_its_view(shards: Path, embedder: Embedder, embedded: Path) -> None:
    found = EmbeddingFolder(embedded)
    image, audio, times = (np.concatenate(list(found.blocks(name))) for name in ("image", "audio", "time"))
    seen = 0
    for split in ("train", "test"):
        gallery = Gallery(shards, split, views_per_clip=3, seed=0, frame_size=32, window_seconds=1)
        views = next(iter(gallery.batches(100)))
        for number, clip in enumerate(gallery.clips):
            rows = found.rows_of(found.keys.index(clip.key))
            mine = views.clips == number
            np.testing.assert_array_equal(times[rows], views.times[mine])
            np.testing.assert_allclose(image[rows], embedder.embed_images(views.frames[mine]), atol=1e-5)
            np.testing.assert_allclose(audio[rows], embedder.embed_audio(views.audio[mine]), atol=1e-5)
            assert (found.labels[found.clip[rows[0]]], found.splits[found.clip[rows[0]]]) == (clip.label, split)
            seen += len(rows)
    assert seen == len(found) == 36


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("t*-*")}


def test_an_interrupted_embedding_goes_on(tmp_path: Path, shards: Path, embedder: Embedder, embedded: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 12:
            raise StopError

    with pytest.raises(StopError):
        embed_dataset(shards, embedder, tmp_path, views=3, progress=stop)
    with pytest.raises(RetrievalError, match="not finished"):
        EmbeddingFolder(tmp_path)
    before = stamps(tmp_path)
    assert len(before) == 2
    reported: list[tuple[int, int]] = []
    embed_dataset(shards, embedder, tmp_path, views=3, progress=lambda *row: reported.append(row))
    assert (12, 36) in reported and reported[-1] == (36, 36)
    after = stamps(tmp_path)
    assert len(after) == 6 and before.items() <= after.items()
    for name in after:
        if name.endswith(".jsonl"):
            assert (tmp_path / name).read_bytes() == (embedded / name).read_bytes()
    embed_dataset(shards, embedder, tmp_path, views=3)
    assert stamps(tmp_path) == after


def test_splits_can_be_embedded_one_by_one(tmp_path: Path, shards: Path, embedder: Embedder) -> None:
    assert embed_dataset(shards, embedder, tmp_path, splits=["test"], views=2) == (4, 8)
    assert set(EmbeddingFolder(tmp_path).splits) == {"test"}
    assert embed_dataset(shards, embedder, tmp_path, splits=["train"], views=2) == (8, 16)
    assert len(EmbeddingFolder(tmp_path)) == 24


def test_a_damaged_part_is_made_again(tmp_path: Path, shards: Path, embedder: Embedder, embedded: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(embedded, folder)
    (folder / "test-000000.safetensors").write_bytes(b"x")
    embed_dataset(shards, embedder, folder, views=3)
    ours, theirs = (list(EmbeddingFolder(path).blocks("image")) for path in (folder, embedded))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_disk_that_takes_no_index_is_told_as_such(tmp_path: Path, embedded: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(embedded, folder)
    before = sorted(path.name for path in folder.iterdir())
    (folder / INDEX).unlink()
    with pytest.raises(OSError, match="File too large") as told, small_files(1000):
        build_index(folder)
    assert told.value.filename == str(folder / "image.faiss")
    build_index(folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_other_embeddings_are_not_mixed(shards: Path, embedder: Embedder, embedded: Path) -> None:
    with pytest.raises(RetrievalError, match=r"views \(3, now 2\); give another --out"):
        embed_dataset(shards, embedder, embedded, views=2)


def test_the_digest_is_of_the_weights(embedder: Embedder, small_run: Path) -> None:
    other = product.load(small_run, device="cpu")
    assert digest_of(other.model) == digest_of(embedder.model)
    with torch.no_grad():
        next(other.model.parameters()).mul_(1.001)
    assert digest_of(other.model) != digest_of(embedder.model)


def test_clips_that_were_changed_by_hand_are_refused(tmp_path: Path, embedded: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(embedded, folder)
    path = folder / "test-000000.jsonl"
    path.write_text(path.read_text().replace('"views": 3', '"views": 4', 1))
    with pytest.raises(RetrievalError, match="damaged or changed"):
        EmbeddingFolder(folder)


def test_a_cut_shard_is_an_error_and_not_a_smaller_gallery(tmp_path: Path, shards: Path, embedder: Embedder) -> None:
    root = tmp_path / "root"
    shutil.copytree(shards, root)
    tar = next((root / "train").glob("*000001.tar"))
    tar.write_bytes(tar.read_bytes()[:-10240])
    with pytest.raises(ShardError, match="000001.tar"):
        embed_dataset(root, embedder, tmp_path / "out", views=2)
    with pytest.raises(RetrievalError, match="not finished"):
        EmbeddingFolder(tmp_path / "out")


def test_from_s3_and_from_a_disk_alike(
    tmp_path: Path, shards: Path, small_run: Path, embedded: Path, s3: S3Server, aws: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bucket = s3.make_bucket("embedded")
    for path in shards.rglob("*"):
        if path.is_file():
            bucket.put(path.relative_to(shards).as_posix(), path.read_bytes())
    words = ["embed", "--run", small_run, "--shards", "s3://embedded", "--out", tmp_path / "e", "--views", 3]
    assert command(*words) == 0
    assert "12 clips, 36 views of step 6, index exact" in capsys.readouterr().out
    there, here = EmbeddingFolder(tmp_path / "e"), EmbeddingFolder(embedded)
    assert there.keys == here.keys and there.shards == "s3://embedded"
    for name in ("image", "audio", "time", "hash"):
        one, other = (np.concatenate(list(folder.blocks(name))) for folder in (there, here))
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_no_embeddings_is_a_known_error(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="avcorr embed"):
        EmbeddingFolder(tmp_path)
