"""The embeddings of all clips of a dataset, and an index over them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm import tqdm

from avcorr.errors import Error
from avcorr.files import local_path
from avcorr.lock import locked
from avcorr.model.embedding.embedder import Embedder, load_embedder
from avcorr.retrieval.embed_dataset import digest_of, embed_dataset
from avcorr.retrieval.search import Searcher
from avcorr.retrieval.vectors import build_index
from avcorr.shards.store import Root

logger = logging.getLogger(__name__)


class Embedded(NamedTuple):
    """What was embedded."""

    clips: int
    views: int
    step: int
    """Of the model."""
    kind: str
    """Of the index, in words."""


def embed(
    run: str | Path | Embedder,
    shards: Root,
    out: str | Path,
    *,
    best: bool = False,
    splits: Sequence[str] = (),
    views: int = 10,
    workers: int = 2,
    index: Literal["exact", "ivf"] | None = None,
) -> Embedded:
    """Write the embeddings of all clips, and an index to search them by; run again, it goes on where it ended.

    Args:
        run: folder of a run or an exported model; or a model that `load` gave.
        out: folder for embeddings and index.
        splits: only these; empty: all.
        views: views of each clip: a frame and the sound around it.
        index: how it is searched; None: exact for up to 250,000 views, else ivf.

    Raises:
        Error: when the model or the dataset cannot be read or do not fit, or the folder holds other embeddings.

    Example:
        >>> done = avcorr.embed("runs/a", "data/shards", "data/embedded", views=2)
        >>> done.clips, done.views
        (12, 24)
    """
    folder = local_path(out)
    hidden = None if logger.isEnabledFor(logging.INFO) else True  # None: where stderr is no terminal
    with locked(folder, "embedded into", "give another --out"), tqdm(unit="view", disable=hidden, desc="embed") as bar:
        embedder = run if isinstance(run, Embedder) else load_embedder(run, best=best)

        def note(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        clips, rows = embed_dataset(
            shards, embedder, folder, splits=splits, views=views, threads=workers, progress=note
        )
        return Embedded(clips, rows, embedder.step, build_index(folder, index))


def require_own(embedder: Embedder, searcher: Searcher, folder: Path, run: Path, way_out: str) -> None:
    """Refuse embeddings of another model, and say what to do besides giving the run that made them."""
    if digest_of(embedder.model) != searcher.embeddings.identity["model"]:
        raise Error(
            f"{folder} was made by another model than {run} (step {embedder.step}) is now; {way_out} or give the run, "
            "and --best, that it was made with"
        )
