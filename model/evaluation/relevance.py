"""What counts as found: the gain of every clip of a gallery for a query.

A gain says both what is relevant (gain > 0, for recall, precision, rank and average precision) and how much (nDCG).
Clips whose labels are not known take no part, as queries or in the gallery.
"""

from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from avcorr.json_file import read_json

from ..errors import EvaluationError

Gains = NDArray[np.float64]
ONTOLOGY_CONSTANT = 20  # C of r = C - d in Arandjelovic and Zisserman 2018


class _Node(TypedDict):
    """An entry of AudioSet's ontology.json, of which more is not needed."""

    id: str
    name: str
    child_ids: list[str]


_NODES = TypeAdapter(Annotated[list[_Node], Field(max_length=4096)])
"""So many that the distances of all pairs fit into memory; AudioSet's has 632."""


class Relevance(Protocol):
    """Gains of N clips for one another."""

    name: str
    """Short, for the names of figures; "" for the one that recall and precision go by."""
    gain: str
    """What the gain is, in words."""
    known: np.ndarray
    """bool (N,): which clips take part."""

    def gains(self, queries: np.ndarray, gallery: np.ndarray, direction: str) -> Gains:
        """Return the gains float64 (Q, G), 0 or more; queries, gallery: numbers of clips, all of them known."""


class SameLabel:
    """Gain 1 for a clip of the query's label; labels: str (N,), "" if unknown."""

    name = ""
    gain = "1 for the same label, else 0"

    def __init__(self, labels: np.ndarray) -> None:
        self.known = labels != ""
        self._labels = np.unique(labels, return_inverse=True)[1]

    def gains(self, queries: np.ndarray, gallery: np.ndarray, direction: str) -> Gains:
        """Return the gains float64 (Q, G)."""
        gains: Gains = (self._labels[queries][:, None] == self._labels[gallery]).astype(np.float64)
        return gains


class SharedLabels:
    """Gain by the labels that are perceived in the query and in the clip: several a clip, each in either modality.

    audible, visible: bool (N, L), whether clip n has label l in that modality. From a sound to images, say, counts what
    is audible in the query and visible in the clip.
    """

    name = ""

    def __init__(self, audible: np.ndarray, visible: np.ndarray, source: str) -> None:
        self.gain = f"number of labels of {source} perceived in the query's and in the clip's modality"
        self.known = (audible | visible).any(axis=1)
        self._labels = {"audio": audible.astype(np.float32), "image": visible.astype(np.float32)}

    def gains(self, queries: np.ndarray, gallery: np.ndarray, direction: str) -> Gains:
        """Return the gains float64 (Q, G)."""
        asked, _, looked = direction.partition("_to_")
        gains: Gains = (self._labels[asked][queries] @ self._labels[looked][gallery].T).astype(np.float64)
        return gains


class Ontology:
    """Gain 2^r - 1 with r = 20 - d, d the distance of two labels in an ontology, as AVE-Net's nDCG.

    Of clips with several labels, apart by ";", the closest two count. The paper prints r and not the gain; 2^r - 1 is
    the one under which chance comes near its 0.407. labels: str (N,), names or ids of the ontology, "" if unknown.
    Raises EvaluationError when the file is not like AudioSet's ontology.json, or when it lacks a label.
    """

    name = "ontology"
    gain = f"2^r - 1, r = {ONTOLOGY_CONSTANT} - distance of the labels in the ontology"

    def __init__(self, labels: np.ndarray, path: Path) -> None:
        nodes, apart = _read_ontology(path)
        self.known = labels != ""
        texts, self._texts = np.unique(labels, return_inverse=True)
        sets = [[part.strip().lower() for part in text.split(";")] if text else [] for text in texts.tolist()]
        missing = sorted({part for parts in sets for part in parts} - nodes.keys())
        if missing:
            raise EvaluationError(
                f"{path} lacks {len(missing)} of the labels, {missing[0]!r} for one; its gain is for labels of AudioSet"
            )
        gains = np.exp2(np.maximum(ONTOLOGY_CONSTANT - apart, 0.0)) - 1
        self._gains = np.zeros((len(sets), len(sets)))
        rows = [np.array([nodes[part] for part in parts], int) for parts in sets]
        for one, first in enumerate(rows):
            for two, second in enumerate(rows):
                if len(first) and len(second):
                    self._gains[one, two] = gains[np.ix_(first, second)].max()

    def gains(self, queries: np.ndarray, gallery: np.ndarray, direction: str) -> Gains:
        """Return the gains float64 (Q, G)."""
        gains: Gains = self._gains[np.ix_(self._texts[queries], self._texts[gallery])]
        return gains


def _read_ontology(path: Path) -> tuple[dict[str, int], np.ndarray]:
    """Return the number of each name and id, in lower case, and the steps (K, K) from each number to each other.

    Above all that have no parent there is one more node, so that any two are connected.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    try:
        entries = read_json(path, _NODES)
        numbers = {entry["id"]: node for node, entry in enumerate(entries)}
        edges = [(node, numbers[child]) for node, entry in enumerate(entries) for child in entry["child_ids"]]
        names = {entry["name"].lower(): node for node, entry in enumerate(entries)}
    except (OSError, ValueError, KeyError) as error:
        reason = f"{error} is no id of it" if isinstance(error, KeyError) else error
        raise EvaluationError(f"{path} is no ontology like AudioSet's ontology.json: {reason}") from error
    edges += [(len(entries), node) for node in sorted(set(range(len(entries))) - {child for _, child in edges})]
    parents, children = np.array(edges, int).reshape(-1, 2).T
    graph = csr_array((np.ones(len(edges)), (parents, children)), shape=(len(entries) + 1, len(entries) + 1))
    steps: np.ndarray = shortest_path(graph, method="D", directed=False, unweighted=True)
    return names | {mid.lower(): node for mid, node in numbers.items()}, steps
