"""The moments that the report shows: each has a number, and one picture and one sound however often it is shown."""

from collections.abc import Sequence
from typing import Any, Protocol

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
        views: the views, at the places that their items name as "media".
    """

    def __init__(self, clips: Sequence[ClipRecord]) -> None:
        self.views: list[View] = []
        self._clips = clips
        self._places: dict[View, int] = {}

    def item(self, clip: int, seconds: float) -> dict[str, Any]:
        """Describe a view for JSON, with its place in `views` as "media"."""
        view = (int(clip), float(seconds))
        media = self._places.setdefault(view, len(self.views))
        if media == len(self.views):
            self.views.append(view)
        return self.describe(clip, seconds) | {"media": media}

    def describe(self, clip: int, seconds: float) -> dict[str, Any]:
        """Describe a view that has no picture and no sound: clip, key, label, seconds."""
        record = self._clips[int(clip)]
        return {"clip": int(clip), "key": record.key, "label": record.label, "seconds": float(seconds)}
