"""A guitar: a string is plucked, blurs and sounds; the thicker string, higher in the picture, is deeper."""

import numpy as np

from .. import rooms, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light
from ..painting import Painting
from ..subject import Subject, since

_STRINGS_HZ = (98.0, 130.8, 174.6, 220.0, 293.7, 392.0)


class Guitar(Subject):
    """The body of a guitar, its strings across the sound hole, and the hand with the plectrum."""

    label = "guitar"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.size = self.pick(0.85, 1.1)
        self.x, self.y = aspect / 2 + self.pick(-0.1, 0.12), self.pick(0.5, 0.6)
        self.tilt = self.pick(-12, 4)
        self.wood = hue(self.pick(20, 40), self.pick(0.6, 0.85), self.pick(0.6, 0.92))
        self.times = self.rhythm(0.26, 0.55, 0.08)
        self.strings = np.clip(np.cumsum(rng.integers(-2, 3, len(self.times))) + rng.integers(0, 6), 0, 5)
        self.strings = np.abs((self.strings + rng.integers(0, 2, len(self.times))) % 6)
        self.transpose = 2 ** (int(rng.integers(-3, 5)) / 12) / self.size
        self.gap = 0.036 * self.size

    def _put(self, points: shapes.Points) -> shapes.Points:
        return shapes.turned(np.asarray(points) * self.size, self.tilt) + (self.x, self.y)

    def paint(self, ground: Painting) -> None:
        (rooms.stage if self.rng.random() < 0.3 else rooms.room)(ground, self.rng)
        half = [
            (-0.56, 0.0),
            (-0.5, -0.22),
            (-0.34, -0.3),
            (-0.16, -0.27),
            (-0.04, -0.2),
            (0.1, -0.21),
            (0.24, -0.24),
            (0.34, -0.17),
            (0.38, 0),
        ]
        outline = shapes.curve([*half, *[(x, -y) for x, y in half[-2:0:-1]]])
        ground.fill(self._put(outline + (0.02, 0.035)), (0, 0, 0), soft=0.03, opacity=0.5)
        ground.fill(self._put(outline), dark(self.wood, 0.6))
        ground.fill(
            self._put(outline * 0.97),
            [light(self.wood, 0.3), self.wood, dark(self.wood, 0.45)],
            centre=tuple(self._put(np.array([(-0.1, -0.05)]))[0]),
            grain=0.02,
        )
        for height in np.linspace(-0.24, 0.24, 13):
            grain = [(-0.5, height), (-0.1, 0.8 * height), (0.33, 0.7 * height)]
            if abs(height) < 0.2:
                ground.stroke(self._put(shapes.curve(grain, closed=False)), dark(self.wood, 0.35), 0.004, opacity=0.3)
        guard = shapes.curve([(0.0, 0.1), (0.16, 0.12), (0.12, 0.2), (-0.06, 0.21), (-0.12, 0.15)])
        ground.fill(self._put(guard), (46, 22, 18))
        for radius, tone in (
            (0.135, dark(self.wood, 0.7)),
            (0.126, light(self.wood, 0.6)),
            (0.116, dark(self.wood, 0.5)),
            (0.104, np.array([20.0, 12, 12])),
        ):
            ground.fill(self._put(shapes.ellipse(0.08, 0, radius)), tone)
        neck = dark(hue(22, 0.5, 0.4), 0.2)
        ground.fill(self._put(shapes.box(0.2, -0.11, 1.1, 0.11)), [light(neck, 0.2), neck, dark(neck)])
        for fret in (0.3, 0.42, 0.53, 0.63, 0.72, 0.8, 0.88):
            ground.stroke(self._put(np.array([(fret, -0.11), (fret, 0.11)])), (216, 210, 190), 0.008)
            ground.fill(self._put(shapes.ellipse(fret + 0.05, 0, 0.012)), (240, 236, 225))
        ground.fill(self._put(shapes.box(-0.37, -0.14, -0.32, 0.14, 0.02)), [light(neck, 0.2), dark(neck)])
        for string in range(6):
            ground.stroke(self._put(self._string(string)), (232, 222, 196), 0.009 - 0.001 * string)
        along = np.linspace(0, 1, 13)[:, None]
        self.rests = [self._put(line[0] + (line[1] - line[0]) * along) for line in map(self._string, range(6))]
        self.bow = shapes.turned(np.array([(0.0, self.size)]), self.tilt) * np.sin(3 * np.pi * along)
        self._hand()

    def _string(self, string: int) -> np.ndarray:
        height = (string - 2.5) * 0.036
        return np.array([(-0.345, height), (1.1, 0.85 * height)])

    def _hand(self) -> None:
        skin, sleeve = (
            hue(self.pick(14, 30), self.pick(0.3, 0.6), self.pick(0.45, 0.98)),
            hue(self.pick(0, 360), 0.5, 0.6),
        )
        hand = self.sheet(-0.14, -0.06, 0.34, 0.62)
        hand.fill(np.array([(0, 0), (0.04, 0.07), (-0.03, 0.06)]), hue(self.pick(0, 360), 0.8, 0.95))
        hand.fill(
            shapes.curve([(0.08, 0.3), (0.2, 0.24), (0.34, 0.62), (0.2, 0.64)]),
            [light(sleeve), dark(sleeve)],
            angle_degrees=0,
        )
        palm = [(-0.01, 0.06), (0.06, 0.03), (0.16, 0.1), (0.22, 0.22), (0.16, 0.33), (0.06, 0.28), (0.0, 0.16)]
        hand.fill(shapes.curve(palm), [light(skin, 0.3), skin, dark(skin, 0.25)], angle_degrees=40)
        for step in range(3):
            finger = shapes.curve(
                [
                    (0.02 + 0.05 * step, 0.12 + 0.03 * step),
                    (0.0 + 0.06 * step, 0.17 + 0.03 * step),
                    (0.04 + 0.06 * step, 0.21 + 0.02 * step),
                ],
                closed=False,
            )
            hand.stroke(finger, dark(skin, 0.35), 0.009)
        self.hand = hand.sprite()
        glow = self.sheet(-0.2, -0.2, 0.2, 0.2)
        glow.fill(shapes.ellipse(0, 0, 0.19), [(200, 170, 90), (60, 45, 15), (0, 0, 0)], centre=(0, 0))
        self.glow = glow.sprite()

    def draw(self, canvas: Canvas, time: float) -> None:
        index, _ = since(self.times, time)
        seen = set()
        for place in range(index, max(-1, index - 6), -1):
            string, age = int(self.strings[place]), time - float(self.times[place])
            if string in seen or age > 0.8:
                continue
            seen.add(string)
            swing = 0.019 * float(np.exp(-age / 0.3)) * (1 if round(time * 25) % 2 else -1)
            rest, bow = self.rests[string], self.bow * swing
            blur = (255, 255, 235) if age < 0.15 else (244, 240, 218)
            canvas.lines(np.stack([rest - bow, rest + bow, rest + 0.7 * bow]), blur)
        string, push = 2, 0.0
        if len(self.times):
            following = min(index + 1, len(self.times) - 1)
            wait = float(self.times[following]) - time
            near = following if index < 0 or 0 <= wait < 0.12 else index
            string = int(self.strings[near])
            push = (
                float(np.exp(-max(0.0, time - self.times[index]) / 0.08))
                if near == index and index >= 0
                else -min(1.0, wait / 0.12)
            )
        x, y = self._put(np.array([(0.05, (string - 2.5) * 0.036)]))[0]
        if push > 0.05:
            canvas.stamp(self.glow, x, y, opacity=push, glow=True)
        canvas.stamp(self.hand, x, y + 0.035 * push, angle_degrees=6 * push, scale=self.size)

    def sound(self) -> sounds.Wave:
        brightness = self.pick(0.25, 0.7)
        notes = [
            sounds.pluck(self.rng, hertz * self.transpose, 1.4 - 0.1 * place, brightness)
            for place, hertz in enumerate(_STRINGS_HZ)
        ]
        track = sounds.silence()
        for place, (moment, string) in enumerate(zip(self.times, self.strings, strict=True)):
            again = np.flatnonzero(self.strings[place + 1 :] == string)
            note = notes[string]
            if len(again):
                # Plucking a string again stops what it was sounding.
                rest = float(self.times[place + 1 + again[0]] - moment)
                note = sounds.fade(note[: max(400, int(rest * sounds.SAMPLE_RATE))], 0, 0.01)
            sounds.place(track, note, moment, float(self.rng.uniform(0.7, 1.0)))
        sounds_of_body = sounds.reverberate(self.rng, track, 0.25, 0.25)
        return sounds.reverberate(self.rng, sounds_of_body, 0.9, 0.08)
