"""Embeddings that are made up, with a structure that is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avcorr.retrieval.embeddings import EmbeddedClip, EmbeddingFolder, Parts
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import Kind, build_index


@dataclass(frozen=True)
class Made:
    """What was written: rows of clips in their order, `views` rows each."""

    folder: Path
    image: NDArray[np.float32]
    audio: NDArray[np.float32]
    labels: NDArray[np.str_]
    """Of the clips."""
    videos: NDArray[np.int64]
    keys: list[str]
    views: int

    def searcher(self) -> Searcher:
        return Searcher(EmbeddingFolder(self.folder))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def make_embeddings(
    folder: Path,
    *,
    clips: int = 60,
    views: int = 4,
    classes: int = 6,
    size: int = 32,
    noise: float = 0.6,
    parts: int = 3,
    kind: Kind | None = None,
    videos: NDArray[np.int64] | None = None,
    hashes: NDArray[np.uint8] | None = None,
    shared_space: bool = True,
) -> Made:
    """Write embeddings whose clips of a class lie together, image and sound alike, and index them."""
    rng = np.random.default_rng(0)
    kinds = np.arange(clips) % classes
    centres = rng.normal(size=(classes, size))
    own = np.repeat(centres[kinds] + noise * rng.normal(size=(clips, size)), views, axis=0)
    image, audio = (unit(own + noise * rng.normal(size=own.shape)) for _ in range(2))
    labels = np.array([f"class {number}" for number in kinds])
    keys = [f"v{number:06d}" for number in range(clips)]
    videos = np.arange(clips) if videos is None else videos
    hashes = rng.integers(256, size=(clips * views, 32)).astype(np.uint8) if hashes is None else hashes
    writer = Parts(folder, {"model": "made up", "views": views})
    names = []
    for part, numbers in enumerate(np.array_split(np.arange(clips), parts)):
        rows = slice(numbers[0] * views, (numbers[-1] + 1) * views)
        split = "test" if part == parts - 1 else "train"
        records = [EmbeddedClip(keys[n], int(videos[n]), str(labels[n]), split, views) for n in numbers]
        times = np.tile(np.arange(views) + 0.5, len(numbers))
        names.append(f"part-{part:06d}")
        arrays = {"image": image[rows], "audio": audio[rows], "time": times, "hash": hashes[rows]}
        writer.write(names[-1], f"sha{part}", arrays, records)
    writer.finish(names, {"step": 7, "shared_space": shared_space, "shards": "/nowhere"})
    build_index(folder, kind)
    return Made(folder, image, audio, labels, videos, keys, views)
