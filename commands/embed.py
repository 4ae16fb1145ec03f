"""Write the embeddings of all clips, and an index to search them by."""

import argparse

from avcorr.workflows.embedding import embed
from avcorr.workflows.opening import open_cached


def run(arguments: argparse.Namespace) -> int:
    done = embed(
        arguments.run, open_cached(arguments.shards, arguments.cache, arguments.cache_gb), arguments.out,
        best=arguments.best, splits=arguments.split, views=arguments.views, workers=arguments.workers,
        index=arguments.index,
    )  # fmt: skip
    print(f"{done.clips} clips, {done.views} views of step {done.step}, index {done.kind}: {arguments.out}")
    return 0
