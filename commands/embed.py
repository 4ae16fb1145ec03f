"""Write the embeddings of all clips, and an index to search them by."""

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from avcorr import model
from avcorr.retrieval.embed_dataset import digest_of, embed_dataset
from avcorr.retrieval.vectors import build_index

from .dataset import open_shards
from .errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    embedder = model.load(arguments.run, best=arguments.best)
    told = embed(
        open_shards(arguments), embedder, arguments.out, splits=arguments.split, views=arguments.views,
        threads=arguments.workers, kind=arguments.index,
    )  # fmt: skip
    print(f"{told}: {arguments.out}")
    return 0


def require_own(embedder: Any, searcher: Any, folder: Path, run: Path, way_out: str) -> None:
    """Refuse embeddings of another model, and say what to do besides giving the run that made them."""
    if digest_of(embedder.model) != searcher.embeddings.identity["model"]:
        raise CommandError(
            f"{folder} was made by another model than {run} (step {embedder.step}) is now; {way_out} or give the run, "
            "and --best, that it was made with"
        )


def embed(store: Any, embedder: Any, out: Path, *, kind: Any = None, **about: Any) -> str:
    """Embed a dataset with a progress bar, index it, and return what was done in a line."""
    with tqdm(unit="view", disable=None, desc="embed") as bar:

        def note(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        clips, rows = embed_dataset(store, embedder, out, progress=note, **about)
    return f"{clips} clips, {rows} views of step {embedder.step}, index {build_index(out, kind)}"
