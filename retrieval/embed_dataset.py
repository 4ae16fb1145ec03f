"""Embed all clips of a dataset, shard by shard; what is done already is passed over."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from avcorr.model.embedding.embed import embed
from avcorr.model.embedding.embedder import Embedder
from avcorr.pipeline.galleries.gallery import Gallery, ViewBatch
from avcorr.shards.index.shard_list import read_manifest
from avcorr.shards.store import Root
from avcorr.shards.stores.open import open_store

from .embeddings import EmbeddedClip, Parts
from .errors import RetrievalError
from .near_duplicates import picture_hashes


def embed_dataset(
    root: Root,
    embedder: Embedder,
    out: Path,
    *,
    splits: Sequence[str] = (),
    views: int,
    batch_size: int = 128,
    threads: int = 2,
    progress: Callable[[int, int], None] = lambda rows, more: None,
) -> tuple[int, int]:
    """Write the embeddings of all clips of some splits into a folder; run again, it goes on where it ended.

    Args:
        root: where the dataset lies.
        splits: which splits; empty: all.
        views: frames with their sound that are taken of each clip, at times that its key decides.
        batch_size: views that are read together.
        threads: that read and decode ahead.
        progress: called with the rows that have come and the rows there will be.

    Returns:
        The clips and the rows of these splits.

    Raises:
        RetrievalError: when the sound has another rate than the model's, or the folder holds other embeddings.
        ShardError, PairError: as Gallery raises them.
        EvaluationError: when a tower gives NaN.
    """
    store = open_store(root)
    names = splits or sorted({entry.split for entry in read_manifest(store).shards})
    sizes: dict[str, Any] = {"seed": 0, "frame_size": embedder.frame_size, "window_seconds": embedder.seconds}
    galleries = {split: Gallery(store, split, views_per_clip=views, **sizes) for split in names}
    for gallery in galleries.values():
        if gallery.sample_rate != embedder.sample_rate:
            raise RetrievalError(
                f"the sound of {store.url} has {gallery.sample_rate} Hz and the model was trained on "
                f"{embedder.sample_rate} Hz; make shards with shard.sample_rate = {embedder.sample_rate}"
            )
    precision = str(embedder.precision).removeprefix("torch.")
    parts = Parts(out, {"model": digest_of(embedder.model), "precision": precision, "views": views, **sizes})
    total = sum(gallery.views_of(shard) for gallery in galleries.values() for shard in range(len(gallery.shards)))
    done, written = 0, list[str]()
    for split, gallery in galleries.items():
        stems = [PurePath(entry.table).stem for entry in gallery.shards]
        due = []
        for shard, (stem, entry) in enumerate(zip(stems, gallery.shards, strict=True)):
            if not gallery.views_of(shard):
                continue
            written.append(stem)
            if parts.has(stem, entry.sha256):
                done += gallery.views_of(shard)
            else:
                due.append(shard)
        progress(done, total)
        batches = gallery.shard_batches(due, batch_size, threads)
        for shard, group in groupby(batches, key=itemgetter(0)):
            hashes: list[NDArray[np.uint8]] = []
            found = embed(embedder.model, _hashed(group, hashes), embedder.device, embedder.precision)
            numbers, counts = np.unique(found.clips, return_counts=True)
            clips = [
                EmbeddedClip(clip.key, clip.video, clip.label, split, count)
                for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
                for clip in [gallery.clips[number]]
            ]
            pictures = np.concatenate(hashes)
            arrays = {"image": found.image, "audio": found.audio, "time": found.times, "hash": pictures}
            parts.write(stems[shard], gallery.shards[shard].sha256, arrays, clips)
            done += len(found)
            progress(done, total)
    shared = embedder.model.has_shared_space
    url = str(Path(store.url).absolute()) if store.is_local else store.url  # the same from another working directory
    parts.finish(written, {"step": embedder.step, "shared_space": shared, "shards": url})
    return sum(len(gallery.clips) for gallery in galleries.values()), total


def _hashed(batches: Iterable[tuple[int, ViewBatch]], hashes: list[NDArray[np.uint8]]) -> Iterator[ViewBatch]:
    """Yield the batches, and keep the hashes of their pictures."""
    for _, batch in batches:
        hashes.append(picture_hashes(batch.frames.numpy()))
        yield batch


def digest_of(model: nn.Module) -> str:
    """Return a sha256 over a model's weights, their names and their order."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
