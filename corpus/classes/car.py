"""A car on a road: the engine sounds all the time; the faster the wheels turn, the higher it runs."""

import numpy as np

from .. import scenes, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light
from ..painting import Painting, Sprite
from ..subject import Subject


class Car(Subject):
    """A car, van or pick-up seen from the side; road and bushes run past as fast as it drives."""

    label = "car"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.size = self.pick(0.8, 1.05)
        self.x, self.road = aspect / 2 + self.pick(-0.1, 0.1), self.pick(0.78, 0.86)
        self.facing = int(rng.choice((-1, 1)))
        self.kind = int(rng.integers(0, 3))
        self.body = hue(
            rng.choice((0, 8, 48, 205, 215, 160)) + self.pick(-8, 8), self.pick(0.65, 0.92), self.pick(0.6, 0.95)
        )
        knots = np.cumsum(rng.uniform(0.7, 1.8, 14)) - 0.8
        speeds = rng.uniform(0.15, 1.0, 14)
        self.speeds = [(float(time), float(speed)) for time, speed in zip(knots, speeds, strict=True)]
        self.revs = sounds.steps(self.speeds)
        self.distance = np.cumsum(self.revs, dtype=np.float64) / sounds.SAMPLE_RATE

    def paint(self, ground: Painting) -> None:
        horizon = self.road - 0.2
        scenes.sky(ground, self.rng, horizon)
        green = hue(self.pick(35, 110), 0.4, self.pick(0.55, 0.75))
        scenes.hills(ground, self.rng, horizon, green)
        top = self.road - 0.09
        ground.fill(scenes.whole(ground, top=top), [(92, 90, 98), (60, 58, 66)], grain=0.05, grain_size=0.01)
        ground.fill(scenes.whole(ground, top=top, bottom=top + 0.016), (206, 202, 190))
        self.bushes = self._bushes(green)
        self.offsets = np.cumsum(self.rng.uniform(0.35, 0.8, 5))
        self._car()

    def _bushes(self, green: np.ndarray) -> list[Sprite]:
        sprites = []
        for _ in range(2):
            sheet = self.sheet(-0.25, -0.42, 0.25, 0.02)
            scenes.tree(sheet, self.rng, 0.0, 0.0, self.pick(0.25, 0.38), dark(green, 0.25))
            sprites.append(sheet.sprite())
        return sprites

    def _car(self) -> None:
        s, body = self.size, self.body
        sheet = self.sheet(-0.56 * s, -0.5 * s, 0.6 * s, 0.08 * s)
        sheet.fill(shapes.ellipse(0, 0.03 * s, 0.52 * s, 0.035 * s), (0, 0, 0), soft=0.012, opacity=0.6)
        roofs = (
            [(-0.34, -0.2), (-0.24, -0.36), (0.1, -0.37), (0.24, -0.22)],
            [(-0.46, -0.2), (-0.45, -0.42), (-0.2, -0.45), (0.2, -0.44), (0.33, -0.22)],
            [(-0.06, -0.2), (-0.04, -0.37), (0.1, -0.38), (0.22, -0.22)],
        )
        cabin = shapes.curve([(x * s, y * s) for x, y in roofs[self.kind]], closed=False)
        sheet.fill(cabin, [light(body, 0.25), body])
        middle = np.array([cabin[:, 0].mean(), -0.25 * s])
        glass = (cabin - middle) * (0.84, 0.78) + middle
        sheet.fill(glass, [(196, 224, 240), (88, 122, 150)], angle_degrees=60)
        top = float(cabin[:, 1].min()) + 0.02 * s
        sheet.fill(shapes.box(middle[0] - 0.012 * s, top, middle[0] + 0.012 * s, -0.2 * s), body)
        hull = [(-0.5, -0.06), (-0.5, -0.17), (-0.4, -0.225), (0.2, -0.23), (0.44, -0.18), (0.52, -0.13), (0.52, -0.05)]
        sheet.fill(shapes.curve([(x * s, y * s) for x, y in hull]), [light(body, 0.5), body, body, dark(body, 0.5)])
        sheet.stroke(np.array([(-0.49 * s, -0.13 * s), (0.5 * s, -0.13 * s)]), dark(body, 0.35), 0.01)
        sheet.stroke(np.array([(0.06 * s, -0.2 * s), (0.07 * s, -0.07 * s)]), dark(body, 0.4), 0.006)
        sheet.fill(
            shapes.ellipse(0.485 * s, -0.15 * s, 0.026 * s, 0.03 * s),
            [(255, 255, 235), (255, 214, 110)],
            centre=(0.48 * s, -0.15 * s),
        )
        sheet.fill(shapes.box(-0.51 * s, -0.17 * s, -0.48 * s, -0.12 * s), (220, 30, 30))
        sheet.fill(shapes.box(-0.53 * s, -0.075 * s, 0.54 * s, -0.045 * s, 0.012 * s), (70, 72, 80))
        for x in (-0.3, 0.31):
            sheet.fill(shapes.ellipse(x * s, -0.055 * s, 0.118 * s), (22, 20, 26))
        self.car = sheet.sprite() if self.facing > 0 else sheet.sprite().mirrored()
        dashes = self.sheet(0, 0, self.aspect + 1.6, 0.03)
        for x in np.arange(0, self.aspect + 1.6, 0.4):
            dashes.fill(shapes.box(x, 0.004, x + 0.2, 0.026), (236, 226, 190))
        self.dashes = dashes.sprite()
        r = 0.098 * s
        wheel = self.sheet(-1.1 * r, -1.1 * r, 1.1 * r, 1.1 * r)
        wheel.fill(shapes.ellipse(0, 0, r), (34, 32, 38))
        wheel.fill(shapes.ellipse(0, 0, 0.62 * r), [(235, 236, 240), (140, 142, 150)], angle_degrees=50)
        for angle in range(0, 360, 72):
            wheel.fill(shapes.turned(shapes.box(0.16 * r, -0.09 * r, 0.56 * r, 0.09 * r), angle), (56, 56, 64))
        wheel.fill(shapes.ellipse(0, 0, 0.14 * r), (60, 60, 66))
        self.wheel, self.wheel_radius = wheel.sprite(), r
        puff = self.sheet(-0.11, -0.11, 0.11, 0.11)
        puff.fill(shapes.ellipse(0, 0, 0.07), (214, 214, 220), soft=0.025, opacity=0.8)
        self.puff = puff.sprite()

    def draw(self, canvas: Canvas, time: float) -> None:
        at = min(len(self.revs) - 1, int(time * sounds.SAMPLE_RATE))
        speed, travel = float(self.revs[at]), 1.9 * float(self.distance[at])
        length = float(self.offsets[-1]) + 0.6
        for index, offset in enumerate(self.offsets):
            x = (offset - self.facing * 0.6 * travel) % length - 0.5
            if -0.3 < x < self.aspect + 0.3:
                canvas.stamp(self.bushes[index % 2], x, self.road - 0.08)
        canvas.stamp(self.dashes, (-self.facing * travel) % 0.4 - 0.8, self.road + 0.075)
        shake = 0.003 * np.sin(2 * np.pi * (5 + 6 * speed) * time)
        back = self.x - self.facing * 0.54 * self.size
        for puff in range(3):
            age = (time * (1.2 + 2.4 * speed) + puff / 3) % 1
            canvas.stamp(
                self.puff, back - self.facing * 0.3 * age, self.road - 0.07 - 0.12 * age,
                scale=0.4 + age * (0.5 + speed), opacity=0.9 * (1 - age) * (0.3 + 0.7 * speed),
            )  # fmt: skip
        canvas.stamp(self.car, self.x, self.road + shake, angle_degrees=-self.facing * 1.5 * (speed - 0.5))
        turn = np.degrees(travel / self.wheel_radius) * self.facing // 4 * 4 % 72
        for x in (-0.3, 0.31):
            canvas.stamp(
                self.wheel,
                self.x + self.facing * x * self.size,
                self.road - 0.055 * self.size,
                angle_degrees=float(turn),
            )

    def sound(self) -> sounds.Wave:
        base = {0: 62, 1: 46, 2: 54}[self.kind] / self.size * self.pick(0.9, 1.1)
        firing = base * (0.7 + 2.2 * self.revs)
        roughness = 1 + 0.015 * sounds.noise(self.rng, 3, 25)
        harmonics = 1 / np.arange(1, 21) ** self.pick(0.3, 0.6) * self.rng.uniform(0.3, 1.0, 20)
        engine = sounds.sweep(firing * roughness, harmonics) + 0.5 * sounds.sweep(firing * 0.5, harmonics[:6])
        pulse = 0.55 + 0.45 * sounds.sweep(firing)
        engine += 0.35 * pulse * sounds.noise(self.rng, 120, 1400)
        engine += 0.2 * self.revs**2 * sounds.noise(self.rng, 500, 3500)
        shape = sounds.steps(self.activity())
        return engine * (0.35 + 0.65 * self.revs) * (0.12 + 0.88 * shape)
