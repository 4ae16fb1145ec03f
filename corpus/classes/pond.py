"""Drops that fall into a pond: each plinks when it meets the water and rings run out; a larger drop is deeper."""

import numpy as np

from .. import scenes, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light, mix
from ..painting import Painting
from ..subject import Subject, since

_FALL = 0.36
_RING = shapes.ellipse(0, 0, 1, 0.32, count=26)


class Pond(Subject):
    """Still water with lilies; drops fall from a leaf at the top of the picture."""

    label = "pond"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.shore = self.pick(0.26, 0.4)
        self.water = hue(self.pick(172, 200), self.pick(0.45, 0.8), self.pick(0.5, 0.8))
        self.times = self.rhythm(0.34, 0.7, 0.22)
        count = len(self.times)
        drips = np.stack([rng.uniform(0.35, aspect - 0.35, 2), rng.uniform(0.58, 0.82, 2)], axis=1)
        self.places = drips[rng.integers(0, 2, count)] + rng.normal(0, 0.02, (count, 2))
        self.sizes = rng.uniform(0.55, 1.0, count)

    def paint(self, ground: Painting) -> None:
        green = hue(self.pick(80, 140), 0.5, self.pick(0.4, 0.6))
        scenes.sky(ground, self.rng, self.shore)
        for x in np.arange(ground.left, ground.right, 0.15):
            scenes.tree(
                ground,
                self.rng,
                x,
                self.shore + 0.03,
                self.pick(0.26, 0.46),
                mix(green, (20, 60, 50), self.pick(0, 0.4)),
            )
        ground.fill(scenes.whole(ground, top=self.shore), [light(self.water, 0.45), self.water, dark(self.water, 0.5)])
        for _ in range(36):
            x, y = self.pick(ground.left, ground.right), self.pick(self.shore, ground.bottom)
            near = (y - self.shore) / (1 - self.shore)
            tone = light(self.water, 0.5) if self.rng.random() < 0.5 else dark(self.water, 0.3)
            ground.fill(shapes.ellipse(x, y, 0.05 + 0.13 * near, 0.004 + 0.008 * near), tone, soft=0.005, opacity=0.45)
        for _ in range(self.rng.integers(3, 8)):
            self._lily(ground, hue(self.pick(95, 135), 0.6, self.pick(0.45, 0.7)))
        for _ in range(14):
            x = float(self.rng.choice((0.0, self.aspect))) + self.pick(-0.12, 0.12)
            base, height = self.pick(0.9, 1.1), self.pick(0.3, 0.6)
            reed = shapes.curve(
                [
                    (x, base),
                    (x + self.pick(-0.03, 0.03), base - 0.6 * height),
                    (x + self.pick(-0.1, 0.1), base - height),
                ],
                closed=False,
            )
            ground.fill(shapes.ribbon(reed, 0.022, 0.003), [light(green, 0.25), dark(green, 0.2)])
        self.foam = [mix(self.water, (255, 255, 255), 0.85 - 0.05 * step) for step in range(16)]
        drop = self.sheet(-0.06, -0.11, 0.06, 0.05)
        outline = np.concatenate([[(0, -0.1)], shapes.ellipse(0, 0, 0.037, 0.04, -30, 210, 20)])
        drop.fill(outline, [(255, 255, 255), light(self.water, 0.4), self.water], angle_degrees=60)
        drop.stroke(outline, dark(self.water, 0.4), 0.005, closed=True, opacity=0.7)
        drop.fill(shapes.ellipse(-0.013, -0.008, 0.009, 0.014), (255, 255, 255))
        self.drop = drop.sprite()
        splash = self.sheet(-0.3, -0.32, 0.3, 0.12)
        for angle in (-62, -38, -14, 14, 38, 62):
            far = shapes.turned(np.array([(0, -0.21 - 0.03 * np.cos(angle))]), angle)[0] * (1, 1)
            splash.fill(
                shapes.ribbon(np.array([(0.25 * far[0], 0.0), 0.6 * far, far]), 0.045, 0.012),
                [(255, 255, 255), light(self.water, 0.5)],
            )
            splash.fill(shapes.ellipse(1.12 * far[0], 1.14 * far[1], 0.017), (255, 255, 255))
        splash.fill(shapes.ellipse(0, 0.01, 0.13, 0.04), [(255, 255, 255), light(self.water, 0.4)])
        self.splash = splash.sprite()

    def _lily(self, ground: Painting, leaf: np.ndarray) -> None:
        x, y = self.pick(ground.left, ground.right), self.pick(self.shore + 0.12, 0.98)
        radius = 0.05 + 0.09 * (y - self.shore)
        gap = self.pick(0, 360)
        pad = np.concatenate([[(x, y)], shapes.ellipse(x, y, radius, 0.36 * radius, gap + 14, gap + 346, 24)])
        ground.fill(pad + (0.006, 0.012), dark(self.water, 0.6), soft=0.006, opacity=0.7)
        ground.fill(pad, [light(leaf, 0.25), leaf])
        if self.rng.random() < 0.4:
            petal = hue(self.rng.choice((330, 340, 0, 50)), self.pick(0.05, 0.5), 1.0)
            for angle in (-64, -32, 0, 32, 64):
                tip = shapes.turned(np.array([(0, -0.05)]), angle)[0] + (x, y)
                ground.fill(
                    shapes.ribbon(np.array([(x, y), (np.array([x, y]) + tip) / 2, tip]), 0.018, 0.004),
                    [light(petal), petal],
                )

    def draw(self, canvas: Canvas, time: float) -> None:
        index, _ = since(self.times, time)
        for place in range(max(0, index - 3), index + 1):
            age = time - float(self.times[place])
            if age < 1.3:
                self._rings(canvas, place, age)
        for place in range(index + 1, min(index + 3, len(self.times))):
            wait = float(self.times[place]) - time
            if wait < _FALL:
                x, y = self.places[place]
                share = 1 - wait / _FALL
                canvas.stamp(self.drop, x, y - 0.02 - (y + 0.05) * (1 - share**2), scale=0.7 + 0.7 * self.sizes[place])
        if index >= 0 and time - self.times[index] < 0.28:
            age, (x, y) = time - float(self.times[index]), self.places[index]
            height = float(np.sin(np.pi * min(1.0, (age + 0.06) / 0.34)))
            canvas.stamp(
                self.splash,
                x,
                y,
                scale=0.6 + 0.6 * self.sizes[index],
                stretch=max(0.25, height),
                opacity=1 - age / 0.34,
            )

    def _rings(self, canvas: Canvas, place: int, age: float) -> None:
        x, y = self.places[place]
        reach = 0.42 * self.sizes[place] * (age - np.array((0.0, 0.11, 0.22))) + 0.03
        reach = reach[reach > 0.03]
        rings = _RING * reach[:, None, None] + (x, y)
        if len(rings):
            canvas.lines(rings, self.foam[int(12 * age)], closed=True)

    def sound(self) -> sounds.Wave:
        track = sounds.silence()
        time = sounds.ticks(0.25)
        slap = sounds.burst(self.rng, 1200, 5000, 0.03)
        base = self.pick(640, 860)
        plinks = []
        for size in (0.6, 0.7, 0.8, 0.9, 1.0):
            # An oscillating bubble below the surface: its tone rises as it comes up (Minnaert, 1933).
            pitch = base / size * (1 + 0.7 * (1 - np.exp(-time / 0.06)))
            plinks.append(sounds.sweep(pitch, (1, 0.08)) * np.exp(-time / 0.045))
        for moment, size in zip(self.times, self.sizes, strict=True):
            sounds.place(track, plinks[round((size - 0.55) / 0.45 * 4)], moment + 0.012, 0.9)
            sounds.place(track, slap, moment, 0.25 * size)
        track += 0.012 * sounds.noise(self.rng, 400, 2500)
        return sounds.reverberate(self.rng, track, self.pick(0.6, 1.4), 0.2)
