"""A run in a browser."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from avcorr import model
from avcorr.errors import Error
from avcorr.files import local_path
from avcorr.lock import locked
from avcorr.model.embedding.embedder import Embedder
from avcorr.pages.explore.clips import Clips
from avcorr.pages.explore.explorer import Explorer
from avcorr.pages.explore.serve import is_local, serve
from avcorr.pages.explore.web import LOCAL, Application
from avcorr.retrieval.embeddings import MANIFEST, EmbeddingFolder, read_manifest
from avcorr.retrieval.errors import RetrievalError
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import build_index, has_index
from avcorr.shards.store import Root, Store

from .embedding import embed, require_own
from .opening import open_cached

logger = logging.getLogger(__name__)


class Server(NamedTuple):
    """A page that is being served."""

    address: str
    step: int
    """Of the model."""
    clips: int


def explore(
    run: str | Path,
    *,
    shards: Root | None = None,
    index: str | Path | None = None,
    best: bool = False,
    host: str = "127.0.0.1",
    port: int = 7860,
    upload_mb: int = 50,
    workers: int = 2,
    cache: str | Path | None = None,
    cache_gb: int = 50,
    on_ready: Callable[[Server], None] = lambda server: None,
) -> None:
    """Show a run in a browser until Ctrl-C: search by a file, walk from clip to clip, try any pair.

    Args:
        shards: where the shards lie; None: where the embeddings were made from.
        index: what `embed` wrote; None: RUN/embeddings. Made where it is not there.
        host: address to listen at; another than this machine's own lets others in.
        port: 0: any that is free.
        upload_mb: largest file that may be dropped.
        workers: threads that read and decode where embeddings are made.
        cache, cache_gb: folder to keep what comes from a remote store, and its size at most.
        on_ready: called when it can be opened.

    Raises:
        Error: when model, embeddings and shards do not fit, or it cannot listen.
        KeyboardInterrupt: at the end.

    Example:
        >>> def ready(server):
        ...     print(server.clips, "clips at", server.address.partition(":")[0])
        ...     raise KeyboardInterrupt  # as Ctrl-C does
        >>> try:
        ...     avcorr.explore("runs/a", index="data/embeddings", port=0, on_ready=ready)
        ... except KeyboardInterrupt:
        ...     pass
        12 clips at http
    """
    embedder = model.load(run, best=best)
    place = local_path(run)
    folder = local_path(index or place / "embeddings")
    _make_embeddings(embedder, folder, open_cached(shards, cache, cache_gb) if shards else None, workers)
    searcher = Searcher(EmbeddingFolder(folder))
    way_out = "delete it to make it again, name another folder with --index,"
    require_own(embedder, searcher, folder, place, way_out)
    clips = Clips(open_cached(shards or searcher.embeddings.shards, cache, cache_gb), searcher.embeddings)
    limit = round(upload_mb * 1e6)
    explorer = Explorer(place.resolve().name, searcher, clips, embedder, limit)
    local = is_local(host)
    if not local:
        logger.warning("everybody who can reach %s can see the clips and upload files", host)
    application = Application(explorer, {*LOCAL, host} if local else ())
    count = len(searcher.embeddings.keys)
    serve(application, host, port, limit, lambda address: on_ready(Server(address, embedder.step, count)))


def _make_embeddings(embedder: Embedder, folder: Path, shards: Store | None, workers: int) -> None:
    """Embed the dataset where that was not done, or go on with it."""
    try:
        if "parts" in read_manifest(folder):
            if not has_index(EmbeddingFolder(folder)):
                with locked(folder, "indexed", "name another folder with --index"):
                    build_index(folder)
            return
    except RetrievalError:
        if (folder / MANIFEST).exists():
            raise
    if shards is None:
        raise Error(
            f"{folder} holds no embeddings yet; say of which dataset to make them with --shards ROOT, or which there "
            "are with --index DIR"
        )
    logger.info("embedding %s once, into %s", shards.url, folder)
    embed(embedder, shards, folder, workers=workers)
