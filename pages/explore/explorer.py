"""Answers to the questions of the page, as plain data."""

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict
from functools import cached_property
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from avcorr.model.embedding.embedder import Embedder
from avcorr.pipeline.moments.views import decode_frame, decode_frames
from avcorr.retrieval.answer import ask
from avcorr.retrieval.query import Query, clip_query
from avcorr.retrieval.search import Searcher

from .clips import Clips, Timeline
from .errors import ExploreError
from .uploads import MARK, Uploads

MOST_HITS = 48
MOST_CLIPS = 12
SUGGESTIONS = 12
CURVE_POINTS = 40
CURVE_STEP = 0.25
"""Seconds between two points of a curve; more where there would be more than CURVE_POINTS."""


class Explorer:
    """A run's model, its embeddings and the dataset behind them; threads may share it.

    Args:
        name: of the run, for people.
        limit: bytes that an uploaded file may have.
    """

    def __init__(self, name: str, searcher: Searcher, clips: Clips, embedder: Embedder, limit: int) -> None:
        self._name, self._searcher, self.clips, self._embedder = name, searcher, clips, embedder
        self._embeddings = searcher.embeddings
        self.uploads = Uploads(embedder, limit)

    @cached_property
    def about(self) -> dict[str, Any]:
        """Facts about the run, its embeddings and the dataset."""
        embeddings, model = self._embeddings, self._embedder.config["model"]
        return {
            "run": self._name, "step": self._embedder.step, "architecture": model["architecture"],
            "shards": PurePath(embeddings.shards).name, "clips": len(embeddings.keys), "views": len(embeddings),
            "index": self._searcher.index.kind, "labels": _counted(embeddings.labels),
            "splits": _counted(embeddings.splits), "shared_space": embeddings.has_shared_space,
            "localises": self._embedder.model.localises, "seconds": self._embedder.seconds, "limit": self.uploads.limit,
            "version": embeddings.digest[:12],
        }  # fmt: skip

    def some(self, count: int, but: str = "") -> list[dict[str, Any]]:
        """Return `count` clips at random, each once; `but` is left out if there are others."""
        keys = self._embeddings.keys
        drawn = [keys[number] for number in random.sample(range(len(keys)), min(count + 1, len(keys)))]
        return [self.clip(key) for key in ([key for key in drawn if key != but] or drawn)[:count]]

    def clip(self, key: str) -> dict[str, Any]:
        """Return the facts about a clip. Raises UnknownError, ShardError."""
        line = self.clips.timeline(key)
        return self._named(key) | {"times": line.times.round(6).tolist(), "duration": line.seconds}

    def keys_like(self, text: str) -> list[dict[str, str]]:
        """Return the first clips whose key or label holds a text; those whose key begins with it come first."""
        wanted, keys, labels = text.lower(), self._embeddings.keys, self._embeddings.labels
        first = [key for key in keys if key.lower().startswith(wanted)][:SUGGESTIONS]
        more = (key for key, label in zip(keys, labels, strict=True)
                if key not in first and (wanted in key.lower() or wanted in label.lower()))  # fmt: skip
        return [self._named(key) for key in [*first, *(key for key, _ in zip(more, range(SUGGESTIONS), strict=False))]]

    def upload(self, body: BinaryIO, name: str) -> dict[str, Any]:
        """Return the id that a file can be asked with, and its facts. Raises as Uploads.add does."""
        known, query = self.uploads.add(body, name)
        return _described(known, query)

    def search(
        self,
        asked: str,
        *,
        by: str | None,
        to: str | None,
        top: int,
        labels: Collection[str] = (),
        splits: Collection[str] = (),
        duplicates: bool = False,
    ) -> dict[str, Any]:
        """Return the clips nearest to a clip, by its key, or to an uploaded file, as `retrieval.answer.ask` finds them.

        Raises UnknownError when there is neither, and what `ask` raises.
        """
        if asked.startswith(MARK):
            query = self.uploads.get(asked)
        else:
            self.clips.number(asked)
            query = clip_query(self._searcher, asked)
        answer = ask(
            self._searcher, query, by=by, to=to, top=min(top, MOST_HITS), labels=labels, splits=splits,
            duplicates=duplicates,
        )  # fmt: skip
        described = _described(asked, query) | ({} if asked.startswith(MARK) else self._named(asked))
        hits = [asdict(hit) | {"own": hit.key == asked} for hit in answer.hits]
        return {"query": described, "by": answer.by, "to": answer.to, "hits": hits}

    def pair(self, frame_of: str, frame: int, sound_of: str, start: float) -> dict[str, Any]:
        """Return the probability that a frame of one clip and the seconds of a clip from `start` on belong together.

        Raises UnknownError for an unknown clip or frame, ExploreError where the sound is too short, ShardError.
        """
        jpeg, line = self.clips.frame(frame_of, frame), self.clips.timeline(sound_of)
        first = self.first_sample(line, start, sound_of)
        sounds = self.clips.sound(sound_of, first, first + self._embedder.samples)[None]
        picture, crop = self._cropped(jpeg, frame_of)
        (probability,) = self._embedder.probability(picture, sounds)
        localises = self._embedder.model.localises
        heat = self._embedder.heat_maps(picture, sounds)[0].numpy().round(4).tolist() if localises else None
        time = float(self.clips.timeline(frame_of).times[frame])
        begin = first / line.rate
        return {
            "probability": float(probability), "start": begin, "time": time, "crop": crop,
            "truth": self._truth(frame_of, time, sound_of, begin), "map": heat,
        }  # fmt: skip

    def curve(self, frame_of: str, frame: int, sound_of: str) -> dict[str, Any]:
        """Return the probabilities of a frame with every moment of a sound. Raises as `pair` does."""
        line, window = self.clips.timeline(sound_of), self._embedder.samples
        self.first_sample(line, 0.0, sound_of)
        room = (line.samples - window) / line.rate
        starts = np.linspace(0, room, min(CURVE_POINTS, int(room / CURVE_STEP) + 1))
        wave = self.clips.sound(sound_of, 0, line.samples)
        firsts = (starts * line.rate).astype(int)
        sounds = np.stack([wave[first : first + window] for first in firsts])
        picture, _ = self._cropped(self.clips.frame(frame_of, frame), frame_of)
        found = self._embedder.probability(picture, sounds).numpy()
        return {"starts": (firsts / line.rate).round(4).tolist(), "probabilities": found.round(5).tolist()}

    def first_sample(self, line: Timeline, start: float, key: str) -> int:
        """Return the first sample of the model's window that begins nearest to a time."""
        room = line.samples - self._embedder.samples
        if room < 0:
            raise ExploreError(f"the sound of {key} is shorter than the {self._embedder.seconds:g} s of the model")
        return int(min(max(round(start * line.rate), 0), room))

    def window(self, key: str, start: float) -> tuple[NDArray[np.int16], int]:
        """Return the samples of the model's window from a time on, fewer of a shorter clip, and their rate."""
        line = self.clips.timeline(key)
        first = min(max(round(start * line.rate), 0), max(0, line.samples - self._embedder.samples))
        return self.clips.sound(key, first, min(first + self._embedder.samples, line.samples)), line.rate

    def _cropped(self, jpeg: bytes, key: str) -> tuple[NDArray[np.uint8], list[float]]:
        """Return the crop (S, S, 3) of a frame that the model sees, and its left, top, width and height in [0, 1]."""
        size = self._embedder.frame_size
        out = np.empty((1, size, size, 3), np.uint8)
        try:
            decode_frames([jpeg], np.full((1, 2), 0.5), out)
            height, width = decode_frame(jpeg, size).shape[:2]
        except ValueError as error:
            raise ExploreError(f"a frame of {key} is no JPEG; avcorr verify --full says what else is wrong") from error
        left, top = (int(0.5 * (side - size + 1)) for side in (width, height))
        return out[0], [left / width, top / height, size / width, size / height]

    def _truth(self, frame_of: str, time: float, sound_of: str, start: float) -> str:
        """Return `match`, `same_video`, or the kind of negative as evaluation/pairing.py names it."""
        a, b = self.clips.number(frame_of), self.clips.number(sound_of)
        if a == b:
            return "match" if start <= time <= start + self._embedder.seconds else "same_clip"
        if self._embeddings.video[a] == self._embeddings.video[b]:
            return "same_video"
        label = self._embeddings.labels[a]
        return "same_class" if label and label == self._embeddings.labels[b] else "other_video"

    def _named(self, key: str) -> dict[str, str]:
        number = self.clips.number(key)
        return {
            "key": key, "label": str(self._embeddings.labels[number]), "split": str(self._embeddings.splits[number]),
        }  # fmt: skip


def _described(known: str, query: Query) -> dict[str, Any]:
    sides = {"image": query.image is not None, "audio": query.audio is not None}
    return {"id": known, "name": query.name, "kind": query.kind, "filled": query.filled, **sides}


def _counted(names: NDArray[np.str_]) -> list[dict[str, Any]]:
    """Return each name with how often it is there, sorted by name."""
    return [{"name": name, "count": count} for name, count in sorted(Counter(names.tolist()).items())]
