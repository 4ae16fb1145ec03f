"""Nuisances of videos in the wild: camera moves, cutaways, silences, noise, music, voices off screen, bystanders.

`difficulty` 0..1 scales how often and how strongly each occurs; docs/corpus.md has the table.
"""

import math

import numpy as np

from . import rooms, scenes, shapes, sounds
from .canvas import Canvas, View
from .colours import hue, light
from .painting import Painting, Sprite

SCENES = (
    scenes.meadow, scenes.woods, scenes.street, scenes.garden, scenes.night,
    rooms.stage, rooms.room, rooms.court, rooms.desk, rooms.belfry,
)  # fmt: skip
"""Every backdrop; a cutaway shows one of them with nothing in it."""


def spans(rng: np.random.Generator, chance: float, shortest: float, longest: float) -> list[tuple[float, float]]:
    """Draw no span of the clip or, with a chance, one: [start, stop) seconds."""
    if rng.random() >= chance:
        return []
    length = float(rng.uniform(shortest, longest))
    start = float(rng.uniform(0.5, sounds.CLIP_SECONDS - length - 0.3))
    return [(round(start * 25) / 25, round((start + length) * 25) / 25)]


class Camera:
    """A camera that rests, pans, pushes in or shakes in the hand."""

    def __init__(self, rng: np.random.Generator, aspect: float, difficulty: float):
        self.aspect = aspect
        self.zoom = float(rng.uniform(1.0, 1.0 + 0.06 * (1 + difficulty)))
        self.kind = str(rng.choice(("still", "pan", "push", "hand")))
        self.reach = float(rng.uniform(0.4, 1.0)) * (0.02 + 0.07 * difficulty)
        self.phases = rng.uniform(0, math.tau, 6).tolist()
        self.rates = rng.uniform(0.25, 0.6, 2).tolist()
        self.push = float(rng.choice((-1, 1))) * (0.03 + 0.08 * difficulty)

    def view(self, time: float) -> View:
        """Return the camera's view at a time."""
        x, y, zoom = self.aspect / 2, 0.5, self.zoom
        if self.kind == "pan":
            x += self.reach * math.sin(self.rates[0] * time + self.phases[0])
            y += 0.5 * self.reach * math.sin(self.rates[1] * time + self.phases[1])
        elif self.kind == "push":
            zoom *= 1 + self.push * (time / sounds.CLIP_SECONDS - 0.5)
        elif self.kind == "hand":
            for order, rate in enumerate((1.1, 2.7, 5.3)):
                share = 0.35 * self.reach / (order + 1)
                x += share * math.sin(rate * time + self.phases[order])
                y += share * math.sin(1.3 * rate * time + self.phases[order + 3])
        return View(x, y, zoom)


class Bystander:
    """A thing that passes without a sound: a balloon or a butterfly."""

    def __init__(self, rng: np.random.Generator, aspect: float, pixels_per_unit: float):
        colour = hue(rng.uniform(0, 360), 0.7, 0.9)
        sheet = Painting((-0.11, -0.12, 0.11, 0.22), pixels_per_unit, rng)
        self.flaps = bool(rng.random() < 0.5)
        if self.flaps:
            for side in (-1, 1):
                upper = shapes.curve([(0, 0), (side * 0.07, -0.07), (side * 0.09, -0.02), (side * 0.02, 0.02)])
                lower = shapes.curve([(0, 0), (side * 0.06, 0.02), (side * 0.05, 0.06), (side * 0.01, 0.04)])
                sheet.fill(upper, [light(colour), colour])
                sheet.fill(lower, colour)
            sheet.stroke(np.array([(0, -0.03), (0, 0.05)]), (30, 20, 30), 0.014)
        else:
            sheet.stroke(shapes.curve([(0, 0.06), (0.01, 0.14), (-0.01, 0.2)], closed=False), (70, 70, 80), 0.005)
            sheet.fill(
                shapes.ellipse(0, -0.02, 0.065, 0.08), [light(colour, 0.7), colour, colour * 0.6], centre=(-0.02, -0.05)
            )
        self.sprite = sheet.sprite()
        self.start, self.speed = float(rng.uniform(-2, 3)), float(rng.uniform(0.15, 0.3) * rng.choice((-1, 1)))
        self.height, self.aspect = float(rng.uniform(0.1, 0.3)), aspect
        self.scale = float(rng.uniform(0.6, 1.0))

    def draw(self, canvas: Canvas, time: float) -> None:
        """Draw it where it is at a time, if that is in the picture."""
        x = (self.aspect / 2 + self.speed * (time - self.start - 4)) if self.speed else 0.0
        y = self.height + 0.05 * math.sin(1.7 * time + self.start)
        if -0.15 < x < self.aspect + 0.15:
            stretch = 1.0 + (0.5 * math.sin(14 * time) if self.flaps else 0.0)
            canvas.stamp(self.sprite, x, y, scale=self.scale, stretch=stretch, angle_degrees=8 * math.sin(time))


def foreground(rng: np.random.Generator, aspect: float, pixels_per_unit: float) -> Sprite:
    """Paint out-of-focus things close to the camera, at the edges of the picture."""
    sheet = Painting((-0.1, -0.1, aspect + 0.1, 1.1), pixels_per_unit / 2, rng)
    colour = hue(rng.uniform(0, 360), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5))
    side = float(rng.choice((-0.02, aspect + 0.02)))
    for _ in range(5):
        x, y = side + rng.normal(0, 0.04), rng.uniform(0.5, 1.1)
        sheet.fill(
            shapes.ellipse(x, y, rng.uniform(0.06, 0.13), rng.uniform(0.08, 0.2)), colour, soft=0.03, opacity=0.8
        )
    return sheet.sprite()


def background_noise(rng: np.random.Generator) -> sounds.Wave:
    """Make ten seconds of a place's noise, unit RMS: wind, traffic, hiss, or a murmur that swells."""
    low, high = ((60, 500), (40, 240), (400, 6500), (250, 1800))[int(rng.integers(0, 4))]
    wave = sounds.noise(rng, low, high)
    swell = sounds.steps(
        [(float(time), float(gain)) for time, gain in zip(range(11), rng.uniform(0.6, 1.2, 11), strict=True)]
    )
    noise: sounds.Wave = wave * swell
    return noise


def music(rng: np.random.Generator) -> sounds.Wave:
    """Make ten seconds of soft music, unit RMS: four chords and a tune over them in a major or minor key."""
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    scale = np.array((0, 2, 4, 5, 7, 9, 11) if rng.random() < 0.5 else (0, 2, 3, 5, 7, 8, 10))
    beat = float(rng.uniform(0.28, 0.45))
    harmonics = 1 / np.arange(1, 6) ** rng.uniform(1.2, 2.2)
    track = sounds.silence()

    def note(degree: int, seconds: float) -> sounds.Wave:
        hertz = root * 2 ** ((scale[degree % 7] + 12 * (degree // 7)) / 12)
        wave = sounds.sweep(np.full(round(seconds * sounds.SAMPLE_RATE), hertz), harmonics)
        return sounds.fade(wave * np.exp(-1.5 * sounds.ticks(seconds) / seconds).astype(np.float32), 0.02, 0.05)

    bars = [int(degree) for degree in rng.choice((0, 3, 4, 5), 4)]
    for bar in range(int(sounds.CLIP_SECONDS / (4 * beat)) + 1):
        for step in (0, 2, 4):
            sounds.place(track, note(bars[bar % 4] + step, 4 * beat), 4 * beat * bar, 0.3)
        for place in range(4):
            if rng.random() < 0.7:
                degree = bars[bar % 4] + 7 + int(rng.choice((0, 1, 2, 4)))
                sounds.place(track, note(degree, beat), beat * (4 * bar + place), 0.5)
    normal: sounds.Wave = track / (np.sqrt(np.mean(track**2)) + 1e-9)
    return normal
