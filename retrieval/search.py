"""What a query brings back: clips in the order of their best view, each recording once, of the labels asked for."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from .embeddings import EmbeddingFolder, Floats
from .errors import RetrievalError
from .near_duplicates import alike
from .vectors import VectorIndex

SLACK = 4
"""Rows are asked for SLACK times as many as would do if no clip and no recording came twice; then four times more."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A clip that was found."""

    clip: int
    """Its number in the embeddings."""
    key: str
    label: str
    split: str
    time: float
    """Of the view that is nearest to the query, seconds from the start of the clip."""
    cosine: float
    also: tuple[str, ...] = ()
    """Keys of clips that were found too and are the same recording, or of the same source video."""


class Searcher:
    """Embeddings and their index, ready for queries."""

    def __init__(self, embeddings: EmbeddingFolder) -> None:
        self.embeddings, self.index = embeddings, VectorIndex(embeddings)
        self._names, self._label = np.unique(embeddings.labels, return_inverse=True)
        self._split_names, self._split = np.unique(embeddings.splits, return_inverse=True)

    def search(
        self,
        vector: Floats,
        modality: str,
        *,
        top: int = 10,
        labels: Collection[str] = (),
        splits: Collection[str] = (),
        without_video: int | None = None,
        duplicates: bool = False,
    ) -> list[Hit]:
        """Return the nearest clips, the nearest first.

        Args:
            vector: unit vector (D,) of the query.
            modality: `image` or `audio`: what is looked for.
            top: how many clips at most.
            labels, splits: which clips may be found; empty: all.
            without_video: number of a source video whose clips are not looked for.
            duplicates: show each clip by itself, also the same recording twice.

        Raises:
            RetrievalError: for a label or a split that no clip has, or a vector of another length.
        """
        if len(vector) != self.index.dimension(modality):
            raise RetrievalError(
                f"the query has {len(vector)} numbers, the index {self.index.dimension(modality)}: "
                "it was made by another model; avcorr embed again with this one"
            )
        clips = self._clips(labels, splits, without_video)
        allowed = None if clips is None else self.embeddings.rows_of_all(np.flatnonzero(clips))
        limit = len(self.embeddings) if allowed is None else len(allowed)
        views = max(1, round(len(self.embeddings) / max(1, len(self.embeddings.keys))))
        count = SLACK * top * views
        while True:
            rows, cosines = self.index.nearest(modality, vector, count, allowed)
            owners = self.embeddings.clip[rows]
            _, best = np.unique(owners, return_index=True)
            hits = self._hits(np.sort(best), rows, cosines, top, merge=not duplicates)
            if len(hits) >= top or count >= limit:
                return hits
            count *= 4

    def _clips(
        self, labels: Collection[str], splits: Collection[str], without_video: int | None
    ) -> NDArray[np.bool_] | None:
        """Return (n,) which clips may be found, or None for all."""
        masks: list[NDArray[np.bool_]] = []
        if labels:
            masks.append(np.isin(self._label, [self._number(label) for label in labels]))
        if splits:
            have = self._split_names.tolist()
            for split in sorted(set(splits) - set(have)):
                raise RetrievalError(f"no clip is in the split {split!r}; there are {', '.join(have)}")
            masks.append(np.isin(self._split, [have.index(split) for split in splits]))
        if without_video is not None:
            masks.append(self.embeddings.video != without_video)
        return np.logical_and.reduce(masks) if masks else None

    def _number(self, label: str) -> int:
        names = self._names.tolist()
        if label not in names:
            near = get_close_matches(label, names, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {len(names)}, {names[0]!r} for one"
            raise RetrievalError(f"no clip has the label {label!r}; {hint}")
        return int(names.index(label))

    def _hits(
        self, best: NDArray[np.int64], rows: NDArray[np.int64], cosines: Floats, top: int, *, merge: bool
    ) -> list[Hit]:
        """Return the first `top` clips of the positions `best` in the ranking."""
        embeddings, shown, hits = self.embeddings, _Shown(self), list[Hit]()
        for position in best.tolist():
            clip = int(embeddings.clip[rows[position]])
            twin = shown.twin(clip) if merge else None
            if twin is not None:
                hits[twin] = replace(hits[twin], also=(*hits[twin].also, embeddings.keys[clip]))
                continue
            if len(hits) == top:
                break
            label, split = str(embeddings.labels[clip]), str(embeddings.splits[clip])
            time, cosine = float(self.index.times[rows[position]]), float(cosines[position])
            hits.append(Hit(clip, embeddings.keys[clip], label, split, time, cosine))
            if merge:
                shown.add(clip)
        return hits


class _Shown:
    """The hits so far, to tell what is one of them again."""

    def __init__(self, searcher: Searcher) -> None:
        self._embeddings, self._index = searcher.embeddings, searcher.index
        self._positions: dict[int, int] = {}
        self._owners: list[int] = []
        self._hashes: list[NDArray[np.uint8]] = []
        self._sounds: list[Floats] = []

    def add(self, clip: int) -> None:
        """Append a hit."""
        hashes, sounds = self._look(clip)
        position = len(self._positions)
        self._positions[int(self._embeddings.video[clip])] = position
        self._owners += [position] * len(hashes)
        self._hashes.append(hashes)
        self._sounds.append(sounds)

    def twin(self, clip: int) -> int | None:
        """Return the position of the hit that a clip is of the same video or the same recording as."""
        position = self._positions.get(int(self._embeddings.video[clip]))
        if position is None and self._positions:
            found = alike(*self._look(clip), np.concatenate(self._hashes), np.concatenate(self._sounds)).any(axis=0)
            position = self._owners[int(found.argmax())] if found.any() else None
        return position

    def _look(self, clip: int) -> tuple[NDArray[np.uint8], Floats]:
        rows = self._embeddings.rows_of(clip)
        return np.asarray(self._index.hashes[rows]), self._index.vectors("audio", rows)
