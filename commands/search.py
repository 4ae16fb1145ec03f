"""Find clips by a picture, a sound, a video or another clip."""

import argparse
import json
from pathlib import Path
from typing import Any

from avcorr import model
from avcorr.retrieval.answer import ask
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.query import clip_query, file_query
from avcorr.retrieval.search import Searcher
from avcorr.shards.dataset import Dataset

from .draw import draw
from .errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    searcher = Searcher(EmbeddingFolder(arguments.index))
    if Path(arguments.query).exists():
        query = _file_query(arguments, searcher)
    else:
        query = clip_query(searcher, arguments.query)
    answer = ask(
        searcher, query, by=arguments.by, to=arguments.to, top=arguments.top, labels=arguments.label,
        splits=arguments.split, duplicates=arguments.duplicates,
    )  # fmt: skip
    print(json.dumps(answer.to_json(), ensure_ascii=False) if arguments.json else answer.table())
    if arguments.sheet:
        _draw_answer(arguments, searcher, answer)
    return 0


def _draw_answer(arguments: argparse.Namespace, searcher: Any, answer: Any) -> None:
    """Draw the clips that were found, with the moments that are nearest to the query."""
    if not answer.hits:
        raise CommandError("nothing was found, so there is nothing to draw")
    dataset = Dataset(arguments.shards or searcher.embeddings.shards)
    shards = {searcher.embeddings.part_of(hit.clip) for hit in answer.hits}
    clips = dataset.read(dataset.clips(shards=shards).find([hit.key for hit in answer.hits]))
    notes = [f"cosine {hit.cosine:.3f} at {hit.time:.2f} s" for hit in answer.hits]
    title = f"clips whose {answer.to} is nearest to the {answer.by} of {answer.query.name}"
    draw(clips, arguments.sheet, title, marks=[hit.time for hit in answer.hits], notes=notes)


def _file_query(arguments: argparse.Namespace, searcher: Any) -> Any:
    """Return the query of a file, which needs the model that made the index."""
    if arguments.run is None:
        raise CommandError(f"{arguments.query} is a file: give the model that made the index, too, with --run RUN")
    from .embed import require_own  # torch takes seconds, and a clip's key does not need it

    embedder = model.load(arguments.run, best=arguments.best)
    require_own(embedder, searcher, arguments.index, arguments.run, "embed again into another folder,")
    return file_query(Path(arguments.query), embedder)
