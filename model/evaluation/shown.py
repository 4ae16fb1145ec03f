"""The moments that the report shows: each has a number, and one picture and one sound however often it is shown."""

from collections.abc import Sequence
from typing import Any, Protocol

from ..embedding.embed import Embeddings

View = tuple[int, float]
"""A moment: (clip index, seconds from the start of the clip)."""


class ClipRecord(Protocol):
    """What is known of a clip: a unique key, its source video, and its label ("" if unknown)."""

    @property
    def key(self) -> str: ...
    @property
    def video(self) -> str: ...
    @property
    def label(self) -> str: ...


class Shown:
    """Numbers views in the order in which they are asked for.

    Attributes:
        views: the views, in the positions that their items name as "media".
    """

    def __init__(self, clips: Sequence[ClipRecord]) -> None:
        self.views: list[View] = []
        self._clips = clips
        self._numbers: dict[View, int] = {}

    def item(self, embeddings: Embeddings, row: int) -> dict[str, Any]:
        """Describe the view of a row for JSON, with its position in `views` as "media"."""
        view = (int(embeddings.clips[row]), float(embeddings.times[row]))
        media = self._numbers.setdefault(view, len(self.views))
        if media == len(self.views):
            self.views.append(view)
        return self.describe(embeddings, row) | {"media": media}

    def describe(self, embeddings: Embeddings, row: int) -> dict[str, Any]:
        """Describe a view that has no picture and no sound: clip, key, label, seconds."""
        clip = int(embeddings.clips[row])
        record = self._clips[clip]
        return {"clip": clip, "key": record.key, "label": record.label, "seconds": float(embeddings.times[row])}
