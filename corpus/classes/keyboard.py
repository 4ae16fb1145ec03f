"""A keyboard being typed on, seen from above: every key clicks when it goes down and lights up."""

import numpy as np

from .. import rooms, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light, mix
from ..painting import Painting
from ..subject import Subject, since, until

_ROWS, _COLUMNS = 4, 10


class Keyboard(Subject):
    """A keyboard on a desk and two hands; keys in the lower rows sound a little deeper."""

    label = "keyboard"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.width = self.pick(0.95, 1.2)
        self.pitch = self.width / (_COLUMNS + 0.8)
        self.x, self.y = aspect / 2 + self.pick(-0.1, 0.1), self.pick(0.34, 0.5)
        self.tilt = self.pick(-5, 5)
        self.case = hue(self.pick(0, 360), self.pick(0, 0.2), float(rng.choice((0.22, 0.32, 0.9))))
        self.cap = light(self.case, 0.25) if self.case.mean() < 130 else mix(self.case, (255, 255, 255), 0.6)
        self.accent = hue(self.pick(0, 360), 0.8, 1.0)
        self.times = self.rhythm(0.15, 0.27, 0.3)
        count = len(self.times)
        self.rows = rng.integers(0, _ROWS, count).tolist()
        hands = np.arange(count) % 2
        self.columns = (rng.integers(0, _COLUMNS // 2, count) + hands * (_COLUMNS // 2)).tolist()

    def _key(self, row: int, column: int) -> tuple[float, float]:
        """Return the middle of a key relative to the keyboard's, before the tilt."""
        x = (column - (_COLUMNS - 1) / 2) * self.pitch + (row - 1.5) * 0.2 * self.pitch
        return x, (row - (_ROWS - 1) / 2 - 0.35) * self.pitch

    def _spots(self) -> list[list[list[float]]]:
        """Return the middle of each key in the picture, by row and column."""
        rows = [np.array([self._key(row, column) for column in range(_COLUMNS)]) for row in range(_ROWS)]
        return [(shapes.turned(row, self.tilt) + (self.x, self.y)).tolist() for row in rows]

    def paint(self, ground: Painting) -> None:
        rooms.desk(ground, self.rng)
        self.spots = self._spots()
        half, high, p = self.width / 2, 2.85 * self.pitch, self.pitch
        spot = (self.x, self.y)

        def put(outline: shapes.Points) -> shapes.Points:
            return shapes.turned(outline, self.tilt) + spot

        ground.fill(
            put(shapes.box(-half + 0.015, -high + 0.03, half + 0.025, high + 0.035, 0.03)),
            (0, 0, 0),
            soft=0.02,
            opacity=0.5,
        )
        ground.fill(
            put(shapes.box(-half, -high, half, high, 0.03)), [light(self.case, 0.25), self.case, dark(self.case, 0.3)]
        )
        ground.stroke(put(shapes.box(-half, -high, half, high, 0.03)), light(self.case, 0.5), 0.006, closed=True)
        for row in range(_ROWS):
            for column in range(_COLUMNS):
                x, y = self._key(row, column)
                tone = self.accent * 0.85 if (row, column) in ((0, 0), (2, 9)) else self.cap
                ground.fill(
                    put(shapes.box(x - 0.44 * p, y - 0.42 * p, x + 0.44 * p, y + 0.46 * p, 0.14 * p)), dark(tone, 0.5)
                )
                ground.fill(
                    put(shapes.box(x - 0.38 * p, y - 0.4 * p, x + 0.38 * p, y + 0.32 * p, 0.12 * p)),
                    [light(tone, 0.25), tone],
                )
                ground.fill(
                    put(shapes.box(x - 0.1 * p, y - 0.14 * p, x + 0.1 * p, y + 0.06 * p)),
                    dark(tone, 0.45) if tone.mean() > 130 else light(tone, 0.5),
                )
        _, low = self._key(_ROWS, 0)
        ground.fill(
            put(shapes.box(-2.6 * p, low - 0.38 * p, 2.6 * p, low + 0.36 * p, 0.1 * p)),
            [light(self.cap, 0.25), self.cap],
        )
        press = self.sheet(-0.9 * p, -0.9 * p, 0.9 * p, 0.9 * p)
        press.fill(shapes.ellipse(0, 0, 0.62 * p), self.accent, soft=0.25 * p, opacity=0.9)
        press.fill(shapes.box(-0.4 * p, -0.38 * p, 0.4 * p, 0.36 * p, 0.12 * p), light(self.accent, 0.75))
        self.press = press.sprite()
        self._hand(
            hue(self.pick(14, 30), self.pick(0.28, 0.6), self.pick(0.45, 0.98)),
            hue(self.pick(0, 360), 0.55, self.pick(0.3, 0.8)),
        )

    def _hand(self, skin: np.ndarray, sleeve: np.ndarray) -> None:
        hand = self.sheet(-0.26, -0.06, 0.26, 0.85)
        tone = [light(skin, 0.2), skin, dark(skin, 0.2)]
        hand.fill(shapes.ellipse(0.03, 0.3, 0.14, 0.24), (0, 0, 0), soft=0.04, opacity=0.35)
        hand.fill(
            shapes.curve([(-0.12, 0.75), (-0.1, 0.42), (0.1, 0.42), (0.13, 0.75)]),
            [light(sleeve), sleeve, dark(sleeve)],
            angle_degrees=0,
        )
        for x, length in ((-0.105, 0.1), (-0.04, 0.035), (0.0, 0.0), (0.05, 0.03), (0.1, 0.1)):
            finger = shapes.curve([(x, length), (0.8 * x, 0.14), (0.65 * x, 0.28)], closed=False)
            hand.fill(shapes.ribbon(finger, 0.046, 0.06), tone, angle_degrees=0)
            hand.fill(shapes.ellipse(x, length, 0.023, 0.026, count=14), light(skin, 0.25))
            hand.stroke(finger + (0.026, 0), dark(skin, 0.35), 0.006, opacity=0.6)
        hand.fill(
            shapes.curve([(-0.1, 0.26), (0, 0.2), (0.1, 0.26), (0.1, 0.42), (0, 0.48), (-0.1, 0.42)]),
            tone,
            angle_degrees=20,
        )
        self.hand = hand.sprite()

    def draw(self, canvas: Canvas, time: float) -> None:
        index, age = since(self.times, time)
        for back in range(2):
            place = index - back
            if place >= 0 and time - self.times[place] < 0.32:
                fade = float(np.exp(-(time - self.times[place]) / 0.1))
                x, y = self.spots[self.rows[place]][self.columns[place]]
                canvas.stamp(self.press, x, y, angle_degrees=self.tilt, opacity=fade)
        for hand in (0, 1):
            x, y, lift = self._hand_place(hand, time)
            angle = (12, -12)[hand] + self.tilt
            canvas.stamp(self.hand, x, y + 0.03 * lift, angle_degrees=angle, scale=1 + 0.05 * lift)

    def _hand_place(self, hand: int, time: float) -> tuple[float, float, float]:
        """Return the place of a hand's middle finger and its lift, 0..1."""
        times = self.times[hand::2]
        row, column, wait = 2, 2 + 5 * hand, 1.0
        if len(times):
            last, age = since(times, time)
            following, rest = until(times, time)
            target, wait = (following, rest) if rest < 0.14 or last < 0 else (last, age)
            row, column = self.rows[hand::2][target], self.columns[hand::2][target]
        x, y = self.spots[row][column]
        return x, y, min(1.0, wait / 0.12)

    def sound(self) -> sounds.Wave:
        tone = self.pick(0.85, 1.25)
        clicks = []
        for row in range(_ROWS):
            pitch = tone * (2500 - 260 * row)
            click = sounds.modes((pitch, 1.62 * pitch, 0.22 * pitch), (0.03, 0.02, 0.07), (0.5, 0.4, 0.5), 0.12)
            sounds.place(click, sounds.burst(self.rng, 1800, 7000, 0.025), 0, 0.8)
            sounds.place(click, sounds.burst(self.rng, 2500, 7500, 0.02), 0.07, 0.35)
            clicks.append(click)
        track = sounds.silence()
        for moment, row in zip(self.times, self.rows, strict=True):
            sounds.place(track, clicks[row], moment, float(self.rng.uniform(0.6, 1.0)))
        return sounds.reverberate(self.rng, track, 0.25, 0.08)
