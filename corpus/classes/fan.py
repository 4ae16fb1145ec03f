"""A fan that whirs as long as it turns: the faster the blades, the higher and louder."""

import numpy as np

from .. import rooms, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light
from ..painting import Painting
from ..subject import Subject


class Fan(Subject):
    """A fan on its stand in a room; it is switched between speeds, and off in pauses."""

    label = "fan"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.radius = self.pick(0.28, 0.4)
        self.x, self.y = aspect / 2 + self.pick(-0.14, 0.14), self.pick(0.38, 0.46)
        self.blades = int(rng.integers(3, 6))
        self.tint = hue(
            rng.choice((165, 185, 200, 140)) + self.pick(-12, 12), self.pick(0.3, 0.75), self.pick(0.75, 0.95)
        )
        changes = np.cumsum(rng.uniform(1.5, 4.0, 8))
        speeds = rng.choice((0.55, 0.8, 1.0), 9)
        points = [(0.0, float(speeds[0]))]
        for change, before, after in zip(changes, speeds[:-1], speeds[1:], strict=True):
            points += [(float(change), float(before)), (float(change) + 0.5, float(after))]
        self.speed = sounds.steps(points) * sounds.steps(self.activity(0.4))
        self.turns = np.cumsum(self.speed, dtype=np.float64) / sounds.SAMPLE_RATE
        self.top_turns = self.pick(3.2, 4.6) * (0.34 / self.radius) ** 0.5

    def paint(self, ground: Painting) -> None:
        rooms.room(ground, self.rng)
        x, y, r = self.x, self.y, self.radius
        metal = light(self.tint, 0.55)
        ground.fill(shapes.ellipse(x, 0.95, 0.5 * r, 0.1), (0, 0, 0), soft=0.03, opacity=0.5)
        ground.fill(
            shapes.box(x - 0.03, y, x + 0.03, 0.92), [dark(metal, 0.2), light(metal), dark(metal, 0.5)], angle_degrees=0
        )
        ground.fill(shapes.ellipse(x, 0.93, 0.62 * r, 0.065), [light(metal), dark(metal, 0.5)])
        ground.fill(shapes.ellipse(x + 0.03, y + 0.035, 1.02 * r), (0, 0, 0), soft=0.03, opacity=0.3)
        ground.fill(shapes.ellipse(x, y, r), [dark(self.tint, 0.78), dark(self.tint, 0.6)], angle_degrees=50)
        rotor = self.sheet(-r, -r, r, r)
        blade = [(0.08, -0.06), (0.35, -0.32), (0.78, -0.36), (0.9, -0.02), (0.62, 0.14), (0.2, 0.1)]
        for place in range(self.blades):
            outline = shapes.turned(
                shapes.curve([(u * r, v * r) for u, v in blade], steps=4), 360 * place / self.blades
            )
            rotor.fill(
                outline,
                [light(self.tint, 0.45), self.tint, dark(self.tint, 0.3)],
                angle_degrees=360 * place / self.blades + 60,
            )
        self.rotor = rotor.sprite()
        self.ghost = self.rotor._replace(pixels=self.rotor.pixels // 2)
        blur = self.sheet(-r, -r, r, r)
        blur.fill(shapes.ellipse(0, 0, 0.9 * r), light(self.tint, 0.1), opacity=0.45)
        self.blur = blur.sprite()
        cage = self.sheet(-1.1 * r, -1.1 * r, 1.1 * r, 1.1 * r)
        for angle in range(0, 360, 20):
            spoke = shapes.turned(np.array([(0.15 * r, 0), (0.98 * r, 0)]), angle)
            cage.stroke(spoke, light(metal, 0.3), 0.005, opacity=0.75)
        for reach in (0.45, 0.72):
            cage.stroke(shapes.ellipse(0, 0, reach * r), light(metal, 0.3), 0.005, closed=True, opacity=0.75)
        cage.stroke(shapes.ellipse(0, 0, 0.99 * r), dark(metal, 0.3), 0.032, closed=True)
        cage.stroke(shapes.ellipse(-0.004, -0.006, 0.985 * r), light(metal, 0.7), 0.012, closed=True)
        cage.fill(
            shapes.ellipse(0, 0, 0.17 * r),
            [light(self.tint, 0.6), self.tint, dark(self.tint, 0.5)],
            centre=(-0.05 * r, -0.06 * r),
        )
        self.cage = cage.sprite()
        streak = self.sheet(0, -0.02, 0.5, 0.02)
        streak.fill(shapes.box(0, -0.005, 0.24, 0.005), (255, 255, 255), soft=0.004, opacity=0.7)
        self.streak = streak.sprite()

    def draw(self, canvas: Canvas, time: float) -> None:
        at = min(len(self.turns) - 1, int(time * sounds.SAMPLE_RATE))
        speed, turned = float(self.speed[at]), 360 * self.top_turns * float(self.turns[at])
        # A shutter open for half a frame: two faint rotors and a disc stand in for the blur.
        # Steps of 5 degrees: unseen at this speed, and the canvas meets few turns that it has not drawn before.
        whole = 360 / self.blades
        canvas.stamp(self.rotor, self.x, self.y, angle_degrees=5 * round(turned % whole / 5))
        if speed > 0.1:
            half = 180 * self.top_turns * speed / 25
            canvas.stamp(self.ghost, self.x, self.y, angle_degrees=5 * round((turned - half) % whole / 5))
            if speed > 0.6:
                canvas.stamp(self.blur, self.x, self.y)
        canvas.stamp(self.cage, self.x, self.y)
        for place in range(3):
            age = (time * (0.6 + 1.6 * speed) + place / 3) % 1
            side = 1 if place % 2 else -1
            start = self.x + side * self.radius * (1.05 + 0.5 * age)
            height = self.y + self.radius * (0.5 * place - 0.5)
            canvas.stamp(
                self.streak,
                start,
                height,
                angle_degrees=0 if side > 0 else 180,
                opacity=0.9 * speed * float(np.sin(np.pi * age)),
            )

    def sound(self) -> sounds.Wave:
        rate = 12.0 * self.top_turns * self.blades / 3 * self.speed
        chop = 0.6 + 0.4 * sounds.sweep(rate)
        wind = (
            sounds.noise(self.rng, 250, 1100) * (1 - 0.5 * self.speed)
            + sounds.noise(self.rng, 900, 4500) * 0.75 * self.speed
        )
        hum_pitch = (34 / self.radius) * (0.4 + 1.1 * self.speed)
        hum = sounds.sweep(hum_pitch, (0.7, 1, 0.3, 0.5, 0.15, 0.25))
        wave: sounds.Wave = (wind * chop + 0.8 * hum) * self.speed
        return wave
