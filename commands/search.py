"""Find clips by a picture, a sound, a video or another clip."""

import argparse
import json
from pathlib import Path

from avcorr.retrieval.answer import Answer
from avcorr.retrieval.embeddings import EmbeddingFolder
from avcorr.retrieval.search import Searcher
from avcorr.shards.dataset import Dataset
from avcorr.workflows.searching import search

from .draw import draw
from .errors import CommandError


def run(arguments: argparse.Namespace) -> int:
    searcher = Searcher(EmbeddingFolder(arguments.index))
    answer = search(
        searcher, arguments.query, run=arguments.run, best=arguments.best, by=arguments.by, to=arguments.to,
        top=arguments.top, labels=arguments.label, splits=arguments.split, duplicates=arguments.duplicates,
    )  # fmt: skip
    print(json.dumps(answer.to_json(), ensure_ascii=False) if arguments.json else answer.table())
    if arguments.sheet:
        _draw_answer(answer, searcher, Dataset(arguments.shards or searcher.embeddings.shards), arguments.sheet)
    return 0


def _draw_answer(answer: Answer, searcher: Searcher, dataset: Dataset, out: Path) -> None:
    """Draw the clips that were found, with the moments that are nearest to the query."""
    if not answer.hits:
        raise CommandError("nothing was found, so there is nothing to draw")
    shards = {searcher.embeddings.part_of(hit.clip) for hit in answer.hits}
    clips = dataset.read(dataset.clips(shards=shards).find([hit.key for hit in answer.hits]))
    notes = [f"cosine {hit.cosine:.3f} at {hit.time:.2f} s" for hit in answer.hits]
    title = f"clips whose {answer.to} is nearest to the {answer.by} of {answer.query.name}"
    draw(clips, out, title, marks=[hit.time for hit in answer.hits], notes=notes)
