"""What counts as found: the gain of every clip of a gallery for a query.

A gain says both what is relevant (gain > 0, for recall, precision, rank and average precision) and how much (nDCG).
Clips whose labels are not known take no part, as queries or in the gallery.
"""

import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import EvaluationError

Gains = NDArray[np.float64]
ONTOLOGY_CONSTANT = 20  # C of r = C - d in Arandjelovic and Zisserman 2018


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
    the one under which chance comes near its 0.407.

    Args:
        labels: str (N,), names or ids of the ontology, "" if unknown.
        path: AudioSet's ontology.json, a list of objects with id, name and child_ids.

    Raises:
        EvaluationError: when the file is no such list, or when it lacks a label.
    """

    name = "ontology"
    gain = f"2^r - 1, r = {ONTOLOGY_CONSTANT} - distance of the labels in the ontology"

    def __init__(self, labels: np.ndarray, path: Path) -> None:
        nodes, edges = _read_ontology(path)
        self.known = labels != ""
        texts, self._texts = np.unique(labels, return_inverse=True)
        sets = [[part.strip().lower() for part in text.split(";")] if text else [] for text in texts.tolist()]
        missing = sorted({part for parts in sets for part in parts} - nodes.keys())
        if missing:
            raise EvaluationError(
                f"{path} lacks {len(missing)} of the labels, {missing[0]!r} for one; its gain is for labels of AudioSet"
            )
        used = sorted({nodes[part] for parts in sets for part in parts})
        places = {node: place for place, node in enumerate(used)}
        apart = np.array([_distances(edges, node)[used] for node in used], np.float64).reshape(len(used), len(used))
        gains = np.exp2(np.maximum(ONTOLOGY_CONSTANT - apart, 0.0)) - 1
        self._gains = np.zeros((len(sets), len(sets)))
        rows = [np.array([places[nodes[part]] for part in parts], int) for parts in sets]
        for one, first in enumerate(rows):
            for two, second in enumerate(rows):
                if len(first) and len(second):
                    self._gains[one, two] = gains[np.ix_(first, second)].max()

    def gains(self, queries: np.ndarray, gallery: np.ndarray, direction: str) -> Gains:
        """Return the gains float64 (Q, G)."""
        gains: Gains = self._gains[np.ix_(self._texts[queries], self._texts[gallery])]
        return gains


def _read_ontology(path: Path) -> tuple[dict[str, int], list[list[int]]]:
    """Return the number of each name and id, in lower case, and the neighbours of each number.

    The last number is a root above all that have no parent, so that any two are connected.
    """
    try:
        entries: Sequence[dict[str, Any]] = json.loads(path.read_bytes())
        numbers = {entry["id"]: place for place, entry in enumerate(entries)}
        edges: list[list[int]] = [[] for _ in range(len(entries) + 1)]
        for place, entry in enumerate(entries):
            for child in entry["child_ids"]:
                edges[place].append(numbers[child])
                edges[numbers[child]].append(place)
        children = {numbers[child] for entry in entries for child in entry["child_ids"]}
        names = {entry["name"].lower(): place for place, entry in enumerate(entries)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EvaluationError(f"{path} is no ontology like AudioSet's ontology.json: {error!r}") from error
    for place in sorted(set(range(len(entries))) - children):
        edges[place].append(len(entries))
        edges[len(entries)].append(place)
    return names | {mid.lower(): place for mid, place in numbers.items()}, edges


def _distances(edges: Sequence[Sequence[int]], start: int) -> np.ndarray:
    """Return the fewest steps from one node to every other."""
    steps = np.full(len(edges), -1)
    steps[start] = 0
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for neighbour in edges[node]:
            if steps[neighbour] < 0:
                steps[neighbour] = steps[node] + 1
                waiting.append(neighbour)
    return steps
