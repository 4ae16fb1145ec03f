"""A singing bird: it opens its beak for every syllable; a small bird sings higher."""

import numpy as np

from .. import scenes, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light, mix
from ..painting import Painting, Sprite
from ..subject import Subject, since


class Bird(Subject):
    """A songbird on a branch in a wood."""

    label = "bird"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.size = self.pick(0.5, 0.78)
        self.x, self.y = aspect / 2 + self.pick(-0.12, 0.12), self.pick(0.72, 0.8)
        self.facing = int(rng.choice((-1, 1)))
        tone = rng.choice((12, 48, 205, 225, 0, 28)) + self.pick(-8, 8)
        self.coat = hue(tone, self.pick(0.6, 0.9), self.pick(0.65, 0.95))
        self.breast = hue(rng.choice((45, 25, 55, tone + 30)), self.pick(0.1, 0.7), 0.97)
        self.syllable = self.pick(0.1, 0.17)
        phrases, times, kinds = self.pick(0, 0.3), [], []
        motif = rng.integers(0, 3, 6)
        while phrases < sounds.CLIP_SECONDS:
            count = int(rng.integers(2, 6))
            times += [phrases + place * (self.syllable + 0.05) for place in range(count)]
            kinds += list(motif[:count])
            phrases = times[-1] + self.pick(0.35, 0.75)
        self.times = self.on_frames(np.array(times))
        self.kinds = np.resize(kinds, len(self.times))

    def paint(self, ground: Painting) -> None:
        scenes.woods(ground, self.rng)
        bark = hue(self.pick(20, 35), 0.4, self.pick(0.3, 0.5))
        y = self.y + 0.02
        tilt = self.pick(-0.1, 0.1)
        line = shapes.curve(
            [(-0.3, y + tilt), (0.3, y + 0.02), (self.x, y), (1.0, y - 0.02), (1.7, y - tilt)], closed=False
        )
        ground.fill(shapes.ribbon(line, 0.08, 0.05), [light(bark, 0.35), bark, dark(bark)], grain=0.12)
        for _ in range(9):
            x = self.pick(-0.1, 1.4)
            scenes.leaf(
                ground,
                self.rng,
                x,
                y + self.pick(-0.09, 0.09),
                self.pick(0.04, 0.08),
                hue(self.pick(70, 130), 0.6, self.pick(0.4, 0.7)),
            )
        body = self._body()
        self.body = body if self.facing > 0 else body.mirrored()
        self.heads = [self._head(opening) for opening in (2.0, 16.0, 30.0)]

    def _body(self) -> Sprite:
        """Paint all but the head about the feet."""
        s, coat = self.size, self.coat
        body = self.sheet(-0.62 * s, -0.75 * s, 0.6 * s, 0.1 * s)
        for x in (-0.04, 0.08):
            body.stroke(np.array([(x * s, -0.14 * s), (x * s + 0.01, 0.02)]), (90, 60, 40), 0.014)
        tail = [(-0.2, -0.3), (-0.58, -0.1), (-0.54, -0.02), (-0.15, -0.16)]
        body.fill(shapes.curve(tail, steps=4) * s, [coat, dark(coat, 0.55)], angle_degrees=150)
        back = [(-0.3, -0.28), (-0.12, -0.48), (0.14, -0.52), (0.3, -0.38)]
        trunk = shapes.curve([*back, (0.26, -0.18), (0.06, -0.08), (-0.18, -0.14)]) * s
        body.fill(trunk, [light(coat, 0.3), coat, dark(coat, 0.3)], angle_degrees=70, grain=0.05)
        breast = [(0.1, -0.42), (0.29, -0.38), (0.26, -0.2), (0.06, -0.1), (-0.06, -0.16), (0.04, -0.28)]
        body.fill(shapes.curve(breast) * s, [self.breast, dark(self.breast, 0.2)], soft=0.01)
        wing = [(0.1, -0.4), (-0.02, -0.2), (-0.38, -0.16), (-0.24, -0.34), (-0.06, -0.44)]
        body.fill(shapes.curve(wing) * s, [dark(coat, 0.15), dark(coat, 0.6)], angle_degrees=120)
        for step in range(3):
            line = np.array([(-0.02 - 0.07 * step, -0.24 + 0.012 * step), (-0.2 - 0.05 * step, -0.2 + 0.01 * step)]) * s
            body.stroke(line, light(coat, 0.3), 0.01)
        return body.sprite()

    def _head(self, opening_degrees: float) -> Sprite:
        """Paint the head about the neck, its beak open by some degrees."""
        s = self.size
        head = self.sheet(-0.24 * s, -0.36 * s, 0.46 * s, 0.22 * s)
        beak = np.array([(0.13, -0.05), (0.36, 0.0), (0.13, 0.03)]) * s
        upper, lower = (
            shapes.turned(beak, -opening_degrees, 0.1 * s, 0),
            shapes.turned(beak * (0.93, 1), 0.8 * opening_degrees, 0.1 * s, 0),
        )
        orange = hue(38, 0.85, 1.0)
        if opening_degrees > 5:
            head.fill(np.array([(0.1 * s, 0), upper[1] * 0.85, lower[1] * 0.85]), (170, 30, 40))
        head.fill(lower, [orange, dark(orange, 0.4)])
        head.fill(upper, [light(orange), orange])
        head.fill(
            shapes.ellipse(0, -0.02 * s, 0.19 * s, 0.18 * s),
            [light(self.coat, 0.4), self.coat, dark(self.coat, 0.2)],
            angle_degrees=75,
        )
        head.fill(shapes.ellipse(0.05 * s, 0.07 * s, 0.11 * s, 0.07 * s), mix(self.breast, self.coat, 0.2), soft=0.01)
        head.fill(shapes.ellipse(0.075 * s, -0.05 * s, 0.05 * s), (255, 255, 255))
        head.fill(shapes.ellipse(0.085 * s, -0.05 * s, 0.034 * s), (15, 12, 18))
        head.fill(shapes.ellipse(0.097 * s, -0.062 * s, 0.012 * s, count=8), (255, 255, 255))
        return head.sprite() if self.facing > 0 else head.sprite().mirrored()

    def draw(self, canvas: Canvas, time: float) -> None:
        index, age = since(self.times, time)
        singing = index >= 0 and age < self.syllable
        opening = float(np.sin(np.pi * min(1.0, (age + 0.03) / (self.syllable + 0.03)))) if singing else 0.0
        side, s = self.facing, self.size
        bob = 1.5 * np.sin(2.2 * time) + (4 * opening)
        canvas.stamp(self.body, self.x, self.y, angle_degrees=float(-side * bob))
        neck_x, neck_y = self.x + side * 0.2 * s, self.y - 0.56 * s - 0.02 * opening
        beak = 2 if opening > 0.5 else 1 if opening > 0.1 else 0
        canvas.stamp(
            self.heads[beak], neck_x, neck_y, angle_degrees=float(-side * (6 * np.sin(0.9 * time) + 14 * opening))
        )
        if singing:
            middle = -20 if side > 0 else 200
            arc = shapes.ellipse(0, 0, 1, 1, middle - 32, middle + 32, 8)
            reach = (0.1, 0.18) + np.array(0.5 * age)
            canvas.lines(
                arc * reach[:, None, None] + (neck_x + side * 0.3 * s, neck_y - 0.08 * s), (255, 255, 225), 0.01
            )

    def sound(self) -> sounds.Wave:
        pitch = 1650 / self.size
        time = sounds.ticks(self.syllable)
        share = time / self.syllable
        shapes_of_song = (
            pitch * (1.35 - 0.55 * share),
            pitch * (0.75 + 0.6 * share**0.7),
            pitch * (1 + 0.16 * np.sin(2 * np.pi * self.pick(24, 40) * time)),
        )
        notes = []
        for frequencies in shapes_of_song:
            tone = sounds.sweep(np.minimum(frequencies, 6800), (1, 0.12))
            notes.append(tone * np.sin(np.pi * share).astype(np.float32) ** 0.4)
        track = sounds.silence()
        for moment, kind in zip(self.times, self.kinds, strict=True):
            sounds.place(track, notes[kind], moment, float(self.rng.uniform(0.7, 1.0)))
        return sounds.reverberate(self.rng, track, 0.7, 0.14)
