"""One question from the command line or the browser: the query, the search, and the answer as a table or JSON."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from avcorr.model.evaluation.table import aligned
from avcorr.printable import printable

from .errors import RetrievalError
from .query import Query
from .search import Hit, Searcher


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query has brought back."""

    query: Query
    by: str
    """What was compared: `image` or `audio`."""
    to: str
    """What was looked for."""
    hits: Sequence[Hit]

    def to_json(self) -> dict[str, Any]:
        """Return the answer for machines."""
        query = {"name": self.query.name, "kind": self.query.kind, "by": self.by, "filled": self.query.filled}
        return {"query": query, "to": self.to, "hits": [asdict(hit) for hit in self.hits]}

    def table(self) -> str:
        """Return the answer for people."""
        rows = [("", "cosine", "label", "split", "at", "key", "also")]
        for rank, hit in enumerate(self.hits, 1):
            also = ", ".join(hit.also[:3]) + (f" and {len(hit.also) - 3} more" if len(hit.also) > 3 else "")
            rows.append(
                (
                    str(rank),
                    f"{hit.cosine:.3f}",
                    printable(hit.label, 60) or "-",
                    hit.split,
                    f"{hit.time:.2f} s",
                    hit.key,
                    also,
                )
            )
        return "\n".join(aligned(rows, right=(0, 1, 4)))


def ask(
    searcher: Searcher,
    query: Query,
    *,
    by: str | None = None,
    to: str | None = None,
    top: int = 10,
    labels: Collection[str] = (),
    splits: Collection[str] = (),
    duplicates: bool = False,
) -> Answer:
    """Search with a query.

    A clip does not find its own source video among what it is compared with like for like; a frame may well find its
    own sound, and where it stands is worth seeing.

    by, to: `image` or `audio`; None: see Query.choose. top, labels, splits, duplicates: as of Searcher.search.
    Raises RetrievalError when the query lacks what is asked by, or the model cannot compare the two.
    """
    by, to = query.choose(by, to)
    if by != to and not searcher.embeddings.has_shared_space:
        raise RetrievalError(
            "this model's images and sounds share no space, so that only images can be found by images and sounds by "
            "sounds; train one with a distance (model.architecture: resnet18 or avenet)"
        )
    vector = query.image if by == "image" else query.audio
    assert vector is not None
    hits = searcher.search(
        vector, to, top=top, labels=labels, splits=splits, duplicates=duplicates,
        without_video=query.video if by == to else None,
    )  # fmt: skip
    return Answer(query, by, to, hits)
