"""Show a run in a browser: search by a file, walk from clip to clip, try any pair."""

import argparse
import logging
import webbrowser
from pathlib import Path
from typing import Any

from avcorr import model
from avcorr.pages.explore.clips import Clips
from avcorr.pages.explore.explorer import Explorer
from avcorr.pages.explore.serve import is_local, serve
from avcorr.pages.explore.web import LOCAL, Application
from avcorr.retrieval.embeddings import MANIFEST, EmbeddingFolder, read_manifest
from avcorr.retrieval.errors import RetrievalError
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import build_index
from avcorr.workflows.embedding import embed, require_own
from avcorr.workflows.opening import open_cached

from .errors import CommandError

VIEWS = 10
logger = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    embedder = model.load(arguments.run, best=arguments.best)
    folder: Path = arguments.index or arguments.run / "embeddings"
    _make_embeddings(arguments, embedder, folder)
    searcher = Searcher(EmbeddingFolder(folder))
    way_out = "delete it to make it again, name another folder with --index,"
    require_own(embedder, searcher, folder, arguments.run, way_out)
    arguments.shards = arguments.shards or searcher.embeddings.shards
    clips = Clips(open_cached(arguments.shards, arguments.cache, arguments.cache_gb), searcher.embeddings)
    limit = round(arguments.upload_mb * 1e6)
    explorer = Explorer(arguments.run.resolve().name, searcher, clips, embedder, limit)
    local = is_local(arguments.host)
    if not local:
        logger.warning("everybody who can reach %s can see the clips and upload files", arguments.host)
    application = Application(explorer, {*LOCAL, arguments.host} if local else ())

    def ready(address: str) -> None:
        print(f"{arguments.run} at step {embedder.step}, {len(searcher.embeddings.keys)} clips: {address}", flush=True)
        logger.info("Ctrl-C ends it")
        if arguments.open:
            webbrowser.open(address)

    serve(application, arguments.host, arguments.port, limit, ready)
    return 0


def _make_embeddings(arguments: argparse.Namespace, embedder: Any, folder: Path) -> None:
    """Embed the dataset where that was not done, or go on with it."""
    try:
        if "parts" in read_manifest(folder):
            build_index(folder)  # at once where it is there
            return
    except RetrievalError:
        if (folder / MANIFEST).exists():
            raise
    if not arguments.shards:
        raise CommandError(
            f"{folder} holds no embeddings yet; say of which dataset to make them with --shards ROOT, or which there "
            "are with --index DIR"
        )
    logger.info("embedding %s once, into %s", arguments.shards, folder)
    store = open_cached(arguments.shards, arguments.cache, arguments.cache_gb)
    embed(embedder, store, folder, views=VIEWS, workers=arguments.workers)
