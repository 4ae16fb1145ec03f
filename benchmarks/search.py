"""How long an index of many clips takes to make, and a question to answer.

    python benchmarks/search.py [--clips 200000] [--views 10] [--queries 200] [--index exact|ivf]

Made-up embeddings of 128 numbers with the structure of real ones: classes, clips about their class, views about their
clip; images and sounds of a clip alike. Written as `run.py embed` writes them, a part for 256 clips, then indexed. Each
question is a sound that looks for ten images with the whole of a search: filters, the views of a clip and copies shown
once. Exact answers of the same questions tell how many of the ten true neighbours are found.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import faiss
import numpy as np

from avcorr.retrieval.embeddings import EmbeddedClip, EmbeddingFolder, Parts
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import build_index

SIZE, CLASSES, PER_PART = 128, 309, 256


def write(folder: Path, clips: int, views: int) -> None:
    """Write the embeddings."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, SIZE), np.float32)
    parts, names = Parts(folder, {"model": "made up", "views": views}), []
    for start in range(0, clips, PER_PART):
        numbers = np.arange(start, min(start + PER_PART, clips))
        kinds = rng.integers(CLASSES, size=len(numbers))
        own = np.repeat(centres[kinds] + rng.standard_normal((len(numbers), SIZE), np.float32), views, axis=0)
        image, audio = (own + 0.7 * rng.standard_normal(own.shape, np.float32) for _ in range(2))
        image, audio = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, audio))
        names.append(f"train-{start // PER_PART:06d}")
        times = np.tile(np.arange(views) + 0.5, len(numbers))
        hashes = rng.integers(256, size=(len(image), 32)).astype(np.uint8)
        parts.write(
            names[-1], "made up", {"image": image, "audio": audio, "time": times, "hash": hashes},
            [EmbeddedClip(f"v{n:011d}_000030", int(n), f"class {kind}", "train" if n % 13 else "test", views)
             for n, kind in zip(numbers, kinds, strict=True)],
        )  # fmt: skip
    parts.finish(names, {"step": 1, "shared_space": True, "shards": "/nowhere"})


def share_found(searcher: Searcher, vectors: np.ndarray, allowed: np.ndarray | None) -> float:
    """Return how many of the ten nearest rows, by comparing with all of them, the index finds."""
    questions = len(vectors)
    mask = np.ones(len(searcher.embeddings), bool)
    if allowed is not None:
        mask[:] = False
        mask[allowed] = True
    best, rows = np.full((questions, 10), -np.inf, np.float32), np.zeros((questions, 10), np.int64)
    first = 0
    for block in searcher.embeddings.blocks("image"):
        kept = np.flatnonzero(mask[first : first + len(block)])
        cosines = np.concatenate([best, vectors @ block[kept].T], axis=1)
        numbers = np.concatenate([rows, np.broadcast_to(first + kept, (questions, len(kept)))], axis=1)
        order = np.argsort(-cosines, axis=1)[:, :10]
        best, rows = np.take_along_axis(cosines, order, 1), np.take_along_axis(numbers, order, 1)
        first += len(block)
    # Asked as a search for ten clips of ten views asks: for four times as many rows as would do.
    found = [searcher.index.nearest("image", vector, 400, allowed)[0][:10] for vector in vectors]
    return float(np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found, rows, strict=True)]))


def main() -> None:
    """Print the seconds of the build, and the milliseconds of questions without and with filters."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--index", choices=("exact", "ivf"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, arguments.clips, arguments.views)
        start, busy = time.perf_counter(), time.process_time()
        kind = build_index(folder, arguments.index)
        took, busy = time.perf_counter() - start, time.process_time() - busy
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{kind}: two indices of {arguments.clips * arguments.views:,} rows in {took:.0f} s ({busy:.0f} s of a "
              f"core), {faiss.omp_get_max_threads()} threads, peak memory {memory:.1f} GB")  # fmt: skip
        start = time.perf_counter()
        searcher = Searcher(EmbeddingFolder(folder))
        print(f"opened in {time.perf_counter() - start:.2f} s")
        rng = np.random.default_rng(1)
        asked = rng.integers(arguments.clips * arguments.views, size=arguments.queries)
        vectors = searcher.index.vectors("audio", asked)
        classes = [f"class {rng.integers(CLASSES)}" for _ in asked]
        for what, filters in (
            ("no filter", [{}] * len(asked)),
            ("--split test", [{"splits": ["test"]}] * len(asked)),
            ("--label of one class in 309", [{"labels": [label]} for label in classes]),
        ):
            seconds, busy = [], time.process_time()
            for vector, filtered in zip(vectors, filters, strict=True):
                start = time.perf_counter()
                hits = searcher.search(vector, "image", top=10, **filtered)
                seconds.append(time.perf_counter() - start)
                assert len(hits) == 10
            median, late = 1e3 * np.quantile(seconds, [0.5, 0.95])
            busy = 1e3 * (time.process_time() - busy) / len(seconds)
            print(f"{what}: {median:.1f} ms a question, 95 % within {late:.1f} ms; {busy:.1f} ms of a core on average")
        embeddings = searcher.embeddings
        test = embeddings.splits == "test"
        for what, allowed in (("all", None), ("--split test", embeddings.rows_of_all(np.flatnonzero(test)))):
            share = share_found(searcher, vectors[:50], allowed)
            print(f"{100 * share:.1f} % of the ten nearest rows are found ({what}, 50 questions)")


if __name__ == "__main__":
    main()
