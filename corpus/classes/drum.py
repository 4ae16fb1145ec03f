"""A drum on a stage: it sounds when a stick hits and the skin flashes; a larger drum is deeper."""

import numpy as np

from .. import rooms, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light, rounded
from ..painting import Painting
from ..subject import Subject, since, until

_MEMBRANE = (1.0, 1.59, 2.14, 2.30, 2.65, 2.92, 3.50)
"""Modes of an ideal circular membrane relative to the lowest (zeros of the Bessel functions)."""


class Drum(Subject):
    """A snare or tom-tom and two sticks that take turns."""

    label = "drum"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.radius = self.pick(0.27, 0.4)
        self.x, self.y = aspect / 2 + self.pick(-0.14, 0.14), self.pick(0.44, 0.56)
        self.flat = self.pick(0.26, 0.38)
        self.depth = self.radius * self.pick(0.75, 1.15)
        self.shell = hue(
            rng.choice((2, 12, 350, 28, 45)) + self.pick(-6, 6), self.pick(0.7, 0.95), self.pick(0.65, 0.95)
        )
        self.skin = hue(self.pick(28, 46), self.pick(0.15, 0.4), self.pick(0.66, 0.8))
        self.snare = rng.random() < 0.5
        self.times = self.rhythm(0.32, 0.72)
        self.strengths = rng.uniform(0.6, 1.0, len(self.times))

    def paint(self, ground: Painting) -> None:
        rooms.stage(ground, self.rng)
        x, y, r, depth, flat = self.x, self.y, self.radius, self.depth, self.flat
        ground.fill(shapes.ellipse(x + 0.05, y + depth + 0.04, 1.2 * r, 0.4 * r), (0, 0, 0), soft=0.04, opacity=0.55)
        lower = shapes.ellipse(x, y + depth, r, flat * r, 0, 180)
        body = np.concatenate([[(x - r, y), (x + r, y)], lower])
        ground.fill(body, rounded(self.shell, 0.75), angle_degrees=0, grain=0.03)
        gold = hue(44, self.pick(0.1, 0.6), 0.9)
        rods = [x + r * np.cos(np.radians(angle)) for angle in np.linspace(12, 168, 7)]
        drops = [flat * r * np.sin(np.radians(angle)) for angle in np.linspace(12, 168, 7)]
        if self.snare:
            for rod, drop in zip(rods, drops, strict=True):
                ground.stroke(np.array([(rod, y + drop), (rod, y + depth + drop)]), gold, 0.012)
                ground.fill(shapes.ellipse(rod, y + depth / 2 + drop, 0.012, 0.024, count=10), light(gold))
        else:
            zigzag = [
                (rod, y + drop + depth * (place % 2)) for place, (rod, drop) in enumerate(zip(rods, drops, strict=True))
            ]
            ground.stroke(np.array(zigzag), light(gold, 0.6), 0.011)
        ground.stroke(lower, gold, 0.03)
        ground.stroke(lower - (0, 0.006), light(gold, 0.5), 0.01)
        rim = shapes.ellipse(x, y, 1.03 * r, 1.03 * flat * r)
        ground.fill(rim + (0, 0.018), dark(gold, 0.4))
        ground.fill(rim, [light(gold, 0.6), gold, dark(gold, 0.3)], angle_degrees=20)
        ground.fill(
            shapes.ellipse(x, y, 0.94 * r, 0.93 * flat * r), [dark(self.skin, 0.2), self.skin, light(self.skin)]
        )
        flash = self.sheet(-1.1 * r, -1.1 * flat * r, 1.1 * r, 1.1 * flat * r)
        flash.fill(shapes.ellipse(0, 0, 0.94 * r, 0.93 * flat * r), [(255, 255, 255), (255, 236, 170)], centre=(0, 0))
        self.flash = flash.sprite()
        length, wood = 1.5 * r, hue(self.pick(24, 38), 0.5, 0.85)
        stick = self.sheet(-0.12, -0.08, length + 0.04, 0.08)
        stick.fill(shapes.ribbon(np.array([(-0.05, 0), (length, 0)]), 0.034, 0.02), [light(wood), wood, dark(wood)])
        stick.fill(shapes.ellipse(length, 0, 0.026, 0.02), [light(wood, 0.6), wood])
        hand = hue(self.pick(18, 30), self.pick(0.3, 0.6), self.pick(0.5, 0.95))
        stick.fill(
            shapes.curve([(-0.1, 0), (-0.04, -0.05), (0.05, -0.04), (0.06, 0.02), (0, 0.055)]),
            [light(hand), dark(hand)],
        )
        self.stick, self.length = stick.sprite(), length

    def draw(self, canvas: Canvas, time: float) -> None:
        index, age = since(self.times, time)
        if age < 0.6:
            strength = self.strengths[index]
            canvas.stamp(self.flash, self.x, self.y, opacity=strength * float(np.exp(-age / 0.11)))
            if age < 0.3:
                reach = self.radius * (0.25 + 2.2 * age)
                canvas.lines(
                    shapes.ellipse(self.x, self.y, reach, self.flat * reach, count=24),
                    (255, 255, 240),
                    0.008,
                    closed=True,
                )
        for hand, side in ((0, -1), (1, 1)):
            hits = self.times[hand::2]
            lift = 1.0
            if len(hits):
                _, before = since(hits, time)
                _, after = until(hits, time)
                lift = min(1.0, 7 * before, 6 * after)
                lift = float(np.sin(lift * np.pi / 2))
            tip_x, tip_y = self.x + 0.22 * side * self.radius, self.y - 0.01
            hand_x, hand_y = tip_x + side * 0.9 * self.length, tip_y - 0.42 * self.length
            resting = np.degrees(np.arctan2(tip_y - hand_y, tip_x - hand_x))
            canvas.stamp(self.stick, hand_x, hand_y, angle_degrees=float(resting + side * 38 * lift))

    def sound(self) -> sounds.Wave:
        pitch = 52 / self.radius
        decays = 0.5 * np.array([1.0, 0.75, 0.6, 0.5, 0.45, 0.4, 0.3]) * (0.7 if self.snare else 1.3)
        hit = sounds.modes(pitch * np.array(_MEMBRANE), decays, (1, 0.6, 0.45, 0.3, 0.25, 0.2, 0.15), 0.6)
        sounds.place(hit, sounds.burst(self.rng, 900, 5000, 0.05), 0, 0.5)
        if self.snare:
            sounds.place(hit, sounds.burst(self.rng, 1500, 6500, 0.28), 0, 0.55)
        track = sounds.silence()
        for time, strength in zip(self.times, self.strengths, strict=True):
            sounds.place(track, hit, time, strength)
        return sounds.reverberate(self.rng, track, self.pick(0.3, 0.8), 0.12)
