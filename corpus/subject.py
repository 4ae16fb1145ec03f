"""The base of every class of the corpus: one timeline of events, seen and heard."""

from bisect import bisect_right
from typing import ClassVar

import numpy as np

from .canvas import Canvas
from .painting import Painting
from .sounds import CLIP_SECONDS, Wave

FRAMES_PER_SECOND = 25
FRAME_COUNT = int(CLIP_SECONDS * FRAMES_PER_SECOND)
MARGIN = 0.14
"""Reach of the backdrop beyond the frame on each side, so that the camera may move; frame heights."""


class Subject:
    """One thing that is seen and heard.

    A subclass draws what picture and sound share from `rng` when it is made, above all the times of its events;
    `paint`, `draw` and `sound` then follow that one timeline. The clip gives a fresh `rng` before `paint` and before
    `sound`. The frame is 1 high and `aspect` wide, its top left corner (0, 0).
    """

    label: ClassVar[str]

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        self.rng = rng
        self.aspect = aspect
        self.pauses = pauses
        self.pixels_per_unit = 1.0

    def paint(self, ground: Painting) -> None:
        """Paint what does not move on the backdrop and prepare the sprites of what does."""
        raise NotImplementedError

    def draw(self, canvas: Canvas, time: float) -> None:
        """Draw what moves as it is at `time` seconds."""
        raise NotImplementedError

    def sound(self) -> Wave:
        """Return the ten seconds of sound that the events cause."""
        raise NotImplementedError

    def sheet(self, left: float, top: float, right: float, bottom: float) -> Painting:
        """Return an empty sheet for a sprite, in the sprite's own units."""
        return Painting((left, top, right, bottom), self.pixels_per_unit, self.rng)

    def pick(self, low: float, high: float) -> float:
        """Draw a number between two bounds."""
        return float(self.rng.uniform(low, high))

    def rhythm(self, shortest: float, longest: float, jitter: float = 0.1, start: float = 0.0) -> list[float]:
        """Draw event times, seconds: a steady period with jitter and now and then a missed or doubled beat.

        Times lie on frames, so that the picture of an event begins when its sound does.
        """
        period = self.pick(shortest, longest)
        gaps = period * (1 + jitter * self.rng.standard_normal(64).clip(-2, 2))
        gaps[self.rng.random(64) < 0.12] *= 0.5
        times = start + self.pick(0, 0.6 * period) + np.concatenate([[0], np.cumsum(gaps)])
        return self.on_frames(times)

    def on_frames(self, times: np.ndarray) -> list[float]:
        """Move times to frames; drop those outside the clip, in a pause, or closer than three frames to the last."""
        kept: list[float] = []
        for time in (np.round(np.asarray(times) * FRAMES_PER_SECOND) / FRAMES_PER_SECOND).tolist():
            quiet = any(start <= time < stop for start, stop in self.pauses)
            if 0 <= time < CLIP_SECONDS and not quiet and (not kept or time - kept[-1] > 0.1):
                kept.append(time)
        return kept

    def activity(self, ramp_seconds: float = 0.25) -> list[tuple[float, float]]:
        """Return (seconds, 0..1) points of a curve that is 0 in the pauses: for what sounds continuously."""
        points = [(0.0, 1.0)]
        for start, stop in self.pauses:
            points += [(start, 1.0), (start + ramp_seconds, 0.0), (stop - ramp_seconds, 0.0), (stop, 1.0)]
        return [*points, (CLIP_SECONDS, 1.0)]


def since(times: list[float], time: float) -> tuple[int, float]:
    """Return the index of the last event at or before `time` and the seconds since; (-1, 99) before the first."""
    index = bisect_right(times, time + 1e-6) - 1
    return (index, time - times[index]) if index >= 0 else (-1, 99.0)


def until(times: list[float], time: float) -> tuple[int, float]:
    """Return the index of the next event after `time` and the seconds to it; (count, 99) after the last."""
    index = bisect_right(times, time + 1e-6)
    return (index, times[index] - time) if index < len(times) else (index, 99.0)
