"""One question to the embeddings of a dataset."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from avcorr.errors import Error
from avcorr.files import local_path, require_writable
from avcorr.model import load
from avcorr.retrieval.answer import Answer, ask
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.query import Query, clip_query, file_query
from avcorr.retrieval.search import Searcher
from avcorr.shards.dataset import Dataset
from avcorr.shards.store import Root


def search(
    index: str | Path | Searcher,
    query: str | Path,
    *,
    run: str | Path | None = None,
    best: bool = False,
    by: Literal["image", "audio"] | None = None,
    to: Literal["image", "audio"] | None = None,
    top: int = 10,
    labels: Collection[str] = (),
    splits: Collection[str] = (),
    duplicates: bool = False,
    sheet: str | Path | None = None,
    shards: Root | None = None,
) -> Answer:
    """Find clips by a picture, a sound, a video or another clip.

    Args:
        index: the folder that `embed` wrote.
        query: a file, or the key of a clip.
        run: the model that made the index, which a file needs and a key does not.
        by: which side of a video or a clip is asked by; None: what the query has, the image where it has both.
        to: what is looked for; None: the other than what is asked by.
        top: how many clips at most.
        labels, splits: which clips may be found; empty: all.
        duplicates: show a recording as often as it is there.
        sheet: a picture (.png) or a page (.html) to draw what was found on.
        shards: where they lie, for the sheet; None: where they were embedded from.

    Returns:
        The answer; its `hits` have `key`, `label`, `split`, `time` in seconds and `cosine`, the nearest first.

    Raises:
        Error: when the query cannot be read, was made by another model, or the model cannot compare the two.

    Example:
        >>> key = avcorr.open("data/shards").clips()[0].key
        >>> answer = avcorr.search("data/embeddings", key, to="audio", top=3)
        >>> answer.by, answer.to, len(answer.hits) <= 3
        ('image', 'audio', True)
    """
    if sheet:
        require_writable(local_path(sheet).parent)
    searcher = index if isinstance(index, Searcher) else Searcher(EmbeddingFolder(local_path(index)))
    file = local_path(query)
    asked = _file_query(file, searcher, run, best) if file.exists() else clip_query(searcher, str(query))
    answer = ask(searcher, asked, by=by, to=to, top=top, labels=labels, splits=splits, duplicates=duplicates)
    if sheet:
        _draw(answer, searcher, Dataset(shards or searcher.embeddings.shards), local_path(sheet))
    return answer


def _file_query(path: Path, searcher: Searcher, run: str | Path | None, best: bool) -> Query:
    """Return the query of a file, which needs the model that made the index."""
    if run is None:
        raise Error(f"{path} is a file: give the model that made the index, too, with --run RUN")
    from .embedding import require_own  # torch takes seconds, and a clip's key does not need it

    embedder = load(run, best=best)
    folder = searcher.embeddings.folder
    require_own(embedder, searcher, folder, local_path(run), "embed again into another folder,")
    return file_query(path, embedder)


def _draw(answer: Answer, searcher: Searcher, dataset: Dataset, out: Path) -> None:
    """Draw the clips that were found, with the moments that are nearest to the query."""
    from .drawing import draw

    if not answer.hits:
        raise Error("nothing was found, so there is nothing to draw")
    parts = {searcher.embeddings.part_of(hit.clip) for hit in answer.hits}
    clips = dataset.read(dataset.clips(shards=parts).find([hit.key for hit in answer.hits]))
    notes = [f"cosine {hit.cosine:.3f} at {hit.time:.2f} s" for hit in answer.hits]
    title = f"clips whose {answer.to} is nearest to the {answer.by} of {answer.query.name}"
    draw(clips, out, title, [hit.time for hit in answer.hits], notes)
