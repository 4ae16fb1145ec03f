"""A bouncing ball: it thuds when it meets the floor and is flattened; a larger ball is deeper."""

import numpy as np

from .. import rooms, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light
from ..painting import Painting
from ..subject import FRAMES_PER_SECOND, Subject, since


class Ball(Subject):
    """A beach ball, a basketball or a spotted ball that bounces on the spot or to and fro."""

    label = "ball"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.radius = self.pick(0.15, 0.25)
        self.floor = self.pick(0.82, 0.93)
        self.kind = str(rng.choice(("beach", "basket", "spots")))
        self.tint = self.pick(0, 360)
        flights = np.round(rng.uniform(0.44, 0.84, 40) * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
        self.all_times = np.round(self.pick(0, 0.4) * 25) / 25 + np.concatenate([[-flights[-1], 0], np.cumsum(flights)])
        self.times = self.on_frames(self.all_times)
        walk = np.cumsum(rng.normal(0, 0.09, len(self.all_times)))
        self.places = aspect / 2 + 0.3 * np.sin(walk * 2 + self.pick(0, 6))
        self.spin = self.pick(-200, 200)

    def paint(self, ground: Painting) -> None:
        rooms.court(ground, self.rng)
        r = self.radius
        ball = self.sheet(-1.1 * r, -1.1 * r, 1.1 * r, 1.1 * r)
        if self.kind == "basket":
            self._basket(ball, r)
        elif self.kind == "beach":
            self._beach(ball, r)
        else:
            base = hue(self.tint, 0.75, 0.9)
            ball.fill(shapes.ellipse(0, 0, r), [light(base), base, dark(base, 0.5)], centre=(-0.4 * r, -0.4 * r))
            for angle in range(0, 360, 72):
                x, y = shapes.turned(np.array([(0.58 * r, 0)]), angle)[0]
                ball.fill(shapes.ellipse(x, y, 0.17 * r), (255, 252, 235))
            ball.fill(shapes.ellipse(0, 0, 0.2 * r), (255, 252, 235))
        ball.stroke(shapes.ellipse(0, 0, r), (30, 24, 40), 0.009, closed=True)
        self.ball = ball.sprite()
        shine = self.sheet(-1.1 * r, -1.1 * r, 1.1 * r, 1.1 * r)
        shine.fill(
            shapes.ellipse(0.08 * r, 0.1 * r, 0.86 * r, 0.84 * r, 20, 160), (10, 5, 30), soft=0.1 * r, opacity=0.4
        )
        shine.fill(
            shapes.ellipse(-0.4 * r, -0.44 * r, 0.22 * r, 0.16 * r), (255, 255, 255), soft=0.05 * r, opacity=0.85
        )
        self.shine = shine.sprite()
        shadow = self.sheet(-1.6 * r, -0.6 * r, 1.6 * r, 0.6 * r)
        shadow.fill(shapes.ellipse(0, 0, r, 0.24 * r), (0, 0, 0), soft=0.1 * r, opacity=0.75)
        self.shadow = shadow.sprite()
        flash = self.sheet(-2.2 * r, -0.8 * r, 2.2 * r, 0.8 * r)
        flash.fill(shapes.ellipse(0, 0, 1.6 * r, 0.42 * r), (255, 250, 220), soft=0.14 * r)
        self.flash = flash.sprite()

    def _basket(self, ball: Painting, r: float) -> None:
        base = hue(self.pick(16, 28), 0.8, 0.92)
        ball.fill(
            shapes.ellipse(0, 0, r),
            [light(base), base, dark(base, 0.5)],
            centre=(-0.4 * r, -0.4 * r),
            grain=0.05,
            grain_size=0.01,
        )
        for line in (
            np.array([(-r, 0), (r, 0)]),
            np.array([(0, -r), (0, r)]),
            shapes.ellipse(-1.15 * r, 0, 0.75 * r, 0.9 * r, -62, 62, 12),
            shapes.ellipse(1.15 * r, 0, 0.75 * r, 0.9 * r, 118, 242, 12),
        ):
            ball.stroke(line, (48, 24, 14), 0.06 * r)

    def _beach(self, ball: Painting, r: float) -> None:
        tones = [hue(self.tint + turn, 0.75, 0.95) for turn in (0, 120, 235)]
        for wedge in range(6):
            tone = np.array([250.0, 248, 240]) if wedge % 2 else tones[wedge // 2]
            arc = shapes.ellipse(0, 0, r, r, 60 * wedge, 60 * wedge + 61, 10)
            ball.fill(
                np.concatenate([[(0.1 * r, -0.1 * r)], arc]), [light(tone, 0.2), dark(tone, 0.15)], angle_degrees=50
            )
        ball.fill(shapes.ellipse(0.1 * r, -0.1 * r, 0.14 * r), (250, 250, 245))

    def draw(self, canvas: Canvas, time: float) -> None:
        index = max(0, int(np.searchsorted(self.all_times, time + 1e-6, side="right")) - 1)
        index = min(index, len(self.all_times) - 2)
        start, stop = self.all_times[index], self.all_times[index + 1]
        share, flight = (time - start) / (stop - start), stop - start
        quiet = any(low <= start < high for low, high in self.pauses)
        height = 0.0 if quiet else 3.3 * share * (1 - share) * flight**2 * (1.15 - self.radius)
        x = self.places[index] + (self.places[index + 1] - self.places[index]) * (0 if quiet else share)
        near = min(time - start, stop - time)
        squash = 0.0 if quiet else 0.36 * max(0.0, 1 - near / 0.09)
        _, age = since(self.times, time)
        canvas.stamp(self.shadow, x, self.floor, scale=1 - 0.5 * min(1, height), opacity=1 - 0.7 * min(1, height))
        if age < 0.3:
            canvas.stamp(
                self.flash, self.places[index], self.floor, scale=0.7 + 1.6 * age, opacity=float(np.exp(-age / 0.09))
            )
        y = self.floor - self.radius * (1 - squash) - height
        # The ball spins only in the air and the flattening is vertical: stretch cannot follow the spin.
        turn = self.spin * time if squash == 0 else 0.0
        stretch = (1 - squash) / (1 + 0.7 * squash)
        canvas.stamp(self.ball, x, y, angle_degrees=turn, scale=1 + 0.7 * squash, stretch=stretch)
        canvas.stamp(self.shine, x, y, scale=1 + 0.7 * squash, stretch=stretch)

    def sound(self) -> sounds.Wave:
        time = sounds.ticks(0.35)
        pitch = 27 / self.radius * (1.5 if self.kind == "basket" else 1.0)
        thud = sounds.sweep(pitch * (0.8 + 0.9 * np.exp(-time / 0.03)), (1, 0.35, 0.1)) * np.exp(-time / 0.055)
        if self.kind != "spots":
            ratio = np.array([1, 1.72, 2.61, 3.4])
            ring = sounds.modes(
                (4.5 if self.kind == "basket" else 3) * pitch * ratio,
                (0.3, 0.22, 0.2, 0.15),
                (0.35, 0.25, 0.2, 0.1),
                0.35,
            )
            thud = thud + ring
        sounds.place(thud, sounds.burst(self.rng, 300, 2500, 0.05), 0, 0.4)
        track = sounds.silence()
        for moment in self.times:
            after = self.all_times[min(len(self.all_times) - 1, int(np.searchsorted(self.all_times, moment + 1e-6)))]
            sounds.place(track, thud, moment, 0.55 + 0.5 * min(1.0, after - moment))
        return sounds.reverberate(self.rng, track, self.pick(0.5, 1.3), 0.16)
