"""Write the embeddings of all clips, and an index to search them by."""

import argparse

from tqdm import tqdm

import model
from finding.embed import embed_dataset
from finding.index import build_index

from .dataset import open_shards


def run(arguments: argparse.Namespace) -> int:
    embedder = model.load(arguments.run, best=arguments.best)
    with tqdm(unit="view", disable=None, desc="embed") as bar:

        def note(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        clips, rows = embed_dataset(
            open_shards(arguments), embedder, arguments.out, splits=arguments.split, views=arguments.views,
            threads=arguments.workers, progress=note,
        )  # fmt: skip
    kind = build_index(arguments.out, arguments.index)
    print(f"{clips} clips, {rows} views of step {embedder.step}, index {kind}: {arguments.out}")
    return 0
