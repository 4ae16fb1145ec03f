"""Fireworks over a town at night: a rocket whistles up, its burst booms and crackles; a larger burst is louder."""

import numpy as np

from .. import scenes, shapes, sounds
from ..canvas import Canvas
from ..colours import hue, light, mix
from ..painting import Painting
from ..subject import Subject

_LIFE = 1.3
_RISE = 0.55
_DIAMOND = 0.016 * np.array([(0, -1.5), (1, 0), (0, 1.5), (-1, 0)])


class Fireworks(Subject):
    """Rockets that rise from behind the houses and burst into rings or willows of sparks."""

    label = "fireworks"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.times = self.rhythm(0.62, 0.95, 0.15)
        count = len(self.times)
        self.places = np.stack([rng.uniform(0.3, aspect - 0.3, count), rng.uniform(0.24, 0.44, count)], axis=1)
        self.sizes = rng.uniform(0.36, 0.56, count)
        first = self.pick(0, 360)
        self.hues = first + rng.choice((0, 40, 170), count) + rng.uniform(-10, 10, count)
        self.willow = rng.random(count) < 0.35
        self.tones = [
            mix(hue(tone, 0.75, 1.0), (255, 205, 110), 0.7 * willow)
            for tone, willow in zip(self.hues, self.willow, strict=True)
        ]
        self.bursts = []
        for size in self.sizes:
            sparks = int(22 + 20 * size)
            angles = np.linspace(0, 2 * np.pi, sparks, endpoint=False) + rng.normal(0, 0.06, sparks)
            reach = size * np.where(np.arange(sparks) % 3 == 0, rng.uniform(0.4, 0.6), rng.uniform(0.9, 1.05, sparks))
            self.bursts.append(np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None])
        self.horizon = self.pick(0.8, 0.9)

    def paint(self, ground: Painting) -> None:
        scenes.night(ground, self.rng, self.horizon)
        glow = self.sheet(-0.5, -0.5, 0.5, 0.5)
        stops = np.array([(255, 255, 255), (120, 120, 120), (40, 40, 40), (0, 0, 0)], float)
        glow.fill(shapes.ellipse(0, 0, 0.49), stops, centre=(0, 0))
        pixels = glow.sprite()
        self.glows = []
        for tone in self.hues:
            tint = np.array([*(0.35 + 0.65 * hue(tone, 0.7, 1.0) / 255), 1.0])
            self.glows.append(pixels._replace(pixels=(pixels.pixels * tint).astype(np.uint8)))

    def draw(self, canvas: Canvas, time: float) -> None:
        for index, burst_time in enumerate(self.times):
            age = time - float(burst_time)
            if -_RISE < age < 0:
                self._rocket(canvas, index, age)
            elif 0 <= age < _LIFE:
                self._sparks(canvas, index, age)

    def _rocket(self, canvas: Canvas, index: int, age: float) -> None:
        x, y = self.places[index]
        share = 1 + age / _RISE
        height = y + (self.horizon - y) * (1 - share) ** 1.6
        tail = np.array([(x + 0.004 * np.sin(40 * age), height + 0.11 * (1.1 - share)), (x, height)])
        canvas.lines(tail, (255, 190, 90), 0.012)
        canvas.disc(x, height, 0.011, (255, 245, 215))

    def _sparks(self, canvas: Canvas, index: int, age: float) -> None:
        x, y = self.places[index]
        spread = 1 - np.exp(-age / 0.22)
        earlier = 1 - np.exp(-max(0.0, age - (0.28 if self.willow[index] else 0.12)) / 0.22)
        fall = (0.28 if self.willow[index] else 0.1) * age**2
        canvas.stamp(
            self.glows[index], x, y, scale=0.7 + 2.4 * self.sizes[index], opacity=float(np.exp(-age / 0.22)), glow=True
        )
        fade = max(0.0, 1 - age / _LIFE)
        tone = mix(self.tones[index], (255, 255, 255), max(0.0, 0.8 - 4 * age))
        tone = mix((18, 16, 40), tone, fade**0.7)
        rays = self.bursts[index]
        heads = rays * spread + (x, y + fall)
        tails = rays * earlier + (x, y + 0.8 * fall)
        twinkle = int(age * 25) % 2
        trails = np.stack([tails, heads], axis=1)
        canvas.lines(trails if age < 0.8 else trails[twinkle::2], tone)
        tips = heads if age < 0.5 else heads[twinkle::2]
        if age < 0.9:
            canvas.fill(tips[:, None] + _DIAMOND * (1.1 - 0.5 * age), light(tone, 0.6 * fade))

    def sound(self) -> sounds.Wave:
        rng = self.rng
        time = sounds.ticks(0.7)
        boom = (
            sounds.burst(rng, 40, 380, 0.7) * 0.8
            + sounds.sweep(38 + 90 * np.exp(-time / 0.05)) * np.exp(-time / 0.14) * 1.5
        )
        sounds.place(boom, sounds.burst(rng, 600, 6000, 0.1), 0, 1.0)
        crackle = np.zeros(round(1.1 * sounds.SAMPLE_RATE), np.float32)
        snap = sounds.burst(rng, 2500, 7500, 0.02)
        for moment in rng.uniform(0, 1, 70) ** 1.4:
            sounds.place(crackle, snap, 0.1 + moment, (1 - moment) * float(rng.uniform(0.2, 0.9)))
        rise = sounds.ticks(_RISE)
        whistle = sounds.sweep(900 + 1500 * (rise / _RISE) ** 0.7 + 30 * np.sin(60 * rise), (1, 0.2))
        whistle = (
            sounds.fade(whistle, 0.2, 0.15) * 0.16 + sounds.fade(sounds.noise(rng, 1500, 5000, _RISE), 0.3, 0.1) * 0.06
        )
        track = sounds.silence()
        for moment, size in zip(self.times, self.sizes, strict=True):
            gain = (size / 0.5) ** 1.5
            sounds.place(track, whistle, moment - _RISE)
            sounds.place(track, boom, moment, gain)
            sounds.place(track, crackle, moment, 0.5 * gain)
        return sounds.reverberate(rng, track, 1.5, 0.2)
