"""A bell in a tower: it rings whenever it swings to its end; a larger bell is deeper and slower."""

import numpy as np

from .. import rooms, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light, rounded
from ..painting import Painting
from ..subject import FRAMES_PER_SECOND, Subject, since

_PARTIALS = (0.5, 1.0, 1.183, 1.506, 2.0, 2.514, 2.662, 3.011, 4.166)
"""Hum, prime, tierce, quint, nominal and upper partials of a minor-third church bell, relative to the prime."""


class Bell(Subject):
    """A bronze bell on a beam, with its clapper."""

    label = "bell"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.size = self.pick(0.44, 0.64)
        self.x, self.y = aspect / 2 + self.pick(-0.1, 0.1), self.pick(0.06, 0.14)
        self.swing = self.pick(22, 36)
        self.metal = hue(rng.choice((42, 38, 30, 150)) + self.pick(-5, 5), self.pick(0.45, 0.75), self.pick(0.6, 0.88))
        half_frames = round(15 + 16 * (self.size - 0.3) + self.pick(-2, 2))
        self.half = half_frames / FRAMES_PER_SECOND
        self.start = int(rng.integers(0, half_frames)) / FRAMES_PER_SECOND
        self.times = self.on_frames(self.start + self.half * np.arange(40))
        self.calm = np.array(self.activity(0.35))

    def paint(self, ground: Painting) -> None:
        rooms.belfry(ground, self.rng)
        wood, s = hue(self.pick(20, 32), 0.55, self.pick(0.3, 0.5)), self.size
        ground.fill(
            shapes.box(ground.left, self.y - 0.075, ground.right, self.y + 0.015),
            [light(wood, 0.2), wood, dark(wood)],
            grain=0.1,
        )
        bell = self.sheet(-0.75 * s, -0.1 * s, 0.75 * s, 1.2 * s)
        outline = self._profile(s)
        bell.fill(
            shapes.box(-0.1 * s, -0.06 * s, 0.1 * s, 0.22 * s, 0.03 * s),
            rounded(dark(self.metal, 0.3)),
            angle_degrees=0,
        )
        bell.fill(outline, rounded(self.metal, 0.95), angle_degrees=0, grain=0.02)
        for height, width in ((0.4, 0.262), (0.44, 0.27), (0.84, 0.435), (0.88, 0.46)):
            band = shapes.ellipse(0, height * s, width * s, 0.05 * s, 0, 180, 14)
            bell.stroke(band, dark(self.metal, 0.55), 0.012)
            bell.stroke(band - (0, 0.008), light(self.metal, 0.5), 0.006)
        shine = shapes.curve([(-0.17 * s, 0.32 * s), (-0.12 * s, 0.3 * s), (-0.2 * s, 0.8 * s), (-0.3 * s, 0.92 * s)])
        bell.fill(shine, (255, 255, 240), soft=0.012, opacity=0.6)
        bell.stroke(outline, dark(self.metal, 0.7), 0.008, closed=True)
        self.bell = bell.sprite()
        glow = self.sheet(-0.75 * s, -0.1 * s, 0.75 * s, 1.2 * s)
        glow.fill(outline, [(90, 60, 10), (255, 225, 130)], opacity=0.75)
        self.glow = glow.sprite()
        clapper = self.sheet(-0.12 * s, 0, 0.12 * s, 1.2 * s)
        clapper.stroke(np.array([(0, 0.3 * s), (0, 1.05 * s)]), (48, 44, 46), 0.02)
        clapper.fill(shapes.ellipse(0, 1.06 * s, 0.085 * s, 0.1 * s), [(150, 144, 140), (40, 36, 40)], angle_degrees=50)
        self.clapper = clapper.sprite()

    def _profile(self, s: float) -> shapes.Points:
        right = [(0.12, 0.14), (0.22, 0.2), (0.26, 0.4), (0.3, 0.62), (0.4, 0.84), (0.54, 1.0)]
        side = shapes.curve([(0.0, 0.12), *right], closed=False) * s
        lip = shapes.ellipse(0, s, 0.54 * s, 0.085 * s, 0, 180, 16)
        return np.concatenate([side, lip, (side * (-1, 1))[::-1]])

    def draw(self, canvas: Canvas, time: float) -> None:
        calm = float(np.interp(time, self.calm[:, 0], self.calm[:, 1]))
        phase = np.pi * (time - self.start) / self.half
        angle = self.swing * calm * float(np.cos(phase))
        canvas.stamp(self.clapper, self.x, self.y, angle_degrees=angle + 9 * calm * float(np.cos(phase - 0.5)))
        canvas.stamp(self.bell, self.x, self.y, angle_degrees=angle)
        _, age = since(self.times, time)
        if age < 0.5:
            canvas.stamp(self.glow, self.x, self.y, angle_degrees=angle, opacity=float(np.exp(-age / 0.16)), glow=True)
            side = -1 if angle > 0 else 1
            lip = shapes.turned(np.array([(side * 0.54 * self.size, self.size)]), angle) + (self.x, self.y)
            reach = (0.07, 0.13, 0.19) + np.array(0.35 * age)
            middle = 0 if side > 0 else 180
            arc = shapes.ellipse(0, 0, 1, 1, middle - 48 + angle, middle + 48 + angle, 10)
            canvas.lines(arc * reach[:, None, None] + lip, (255, 245, 190), 0.01)

    def sound(self) -> sounds.Wave:
        pitch = 250 / self.size * self.pick(0.93, 1.07)
        decays = 2.6 * np.array([1.4, 1.0, 0.9, 0.6, 0.6, 0.4, 0.35, 0.3, 0.2])
        gains = (0.5, 0.8, 0.6, 0.3, 0.9, 0.35, 0.3, 0.25, 0.2)
        ring = sounds.modes(pitch * np.array(_PARTIALS), decays, gains, 2.4)
        # Two almost equal partials beat: no cast bell is perfectly round.
        ring += sounds.modes(pitch * np.array(_PARTIALS[:5]) * 1.004, decays[:5], 0.4 * np.array(gains[:5]), 2.4)
        sounds.place(ring, sounds.burst(self.rng, 1500, 6000, 0.04), 0, 0.4)
        ring = sounds.fade(ring, 0, 0.2)
        track = sounds.silence()
        for time in self.times:
            sounds.place(track, ring, time)
        return sounds.reverberate(self.rng, track, 1.2, 0.12)
