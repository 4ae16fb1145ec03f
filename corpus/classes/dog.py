"""A barking dog: it thrusts its head up and opens its mouth with every bark; a small dog yaps higher."""

import numpy as np

from .. import scenes, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light
from ..painting import Painting, Sprite
from ..subject import Subject, since


class Dog(Subject):
    """A dog seen from the front in a garden, with hanging or pointed ears."""

    label = "dog"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.size = self.pick(0.62, 0.92)
        self.x, self.y = aspect / 2 + self.pick(-0.15, 0.15), self.pick(0.4, 0.48)
        self.fur = hue(self.pick(20, 36), self.pick(0.35, 0.7), self.pick(0.45, 0.9))
        self.muzzle = light(self.fur, self.pick(0.3, 0.85))
        self.pointed = bool(rng.random() < 0.4)
        self.patch = bool(rng.random() < 0.4)
        self.collar = hue(self.pick(0, 360), 0.8, 0.85)
        times, moment = [], self.pick(0, 0.4)
        while moment < sounds.CLIP_SECONDS:
            count = int(rng.integers(1, 4))
            times += [moment + 0.34 * place for place in range(count)]
            moment = times[-1] + self.pick(0.5, 0.85)
        self.times = self.on_frames(np.array(times))
        self.length = 0.15 + 0.11 * self.size

    def paint(self, ground: Painting) -> None:
        scenes.garden(ground, self.rng)
        x, y, s, fur = self.x, self.y, self.size, self.fur
        ground.fill(shapes.ellipse(x, 0.99, 0.42 * s, 0.06), (0, 20, 0), soft=0.03, opacity=0.5)
        tail = shapes.curve(
            [(x + 0.2 * s, 0.92), (x + 0.36 * s, 0.8), (x + 0.4 * s, 0.62), (x + 0.33 * s, 0.66), (x + 0.22 * s, 0.8)]
        )
        ground.fill(tail, [light(fur), dark(fur, 0.3)])
        chest = [(0, 0.12), (0.2, 0.24), (0.3, 0.52), (0.28, 0.78), (-0.28, 0.78), (-0.3, 0.52), (-0.2, 0.24)]
        ground.fill(
            shapes.curve([(x + u * s, y + v * s) for u, v in chest]),
            [fur, light(fur, 0.1), dark(fur, 0.45)],
            grain=0.07,
            grain_size=0.015,
        )
        ground.fill(
            shapes.ellipse(x, y + 0.46 * s, 0.14 * s, 0.22 * s), [light(self.muzzle, 0.3), self.muzzle], soft=0.02
        )
        for side in (-1, 1):
            leg = shapes.box(x + side * 0.12 * s - 0.065 * s, y + 0.5 * s, x + side * 0.12 * s + 0.065 * s, 1.06, 0.04)
            ground.fill(leg, [fur, light(fur, 0.2), dark(fur, 0.3)], angle_degrees=0, opacity=0.95)
        ground.fill(
            shapes.curve(
                [
                    (x - 0.17 * s, y + 0.2 * s),
                    (x, y + 0.28 * s),
                    (x + 0.17 * s, y + 0.2 * s),
                    (x + 0.17 * s, y + 0.26 * s),
                    (x, y + 0.345 * s),
                    (x - 0.17 * s, y + 0.26 * s),
                ]
            ),
            self.collar,
        )
        ground.fill(shapes.ellipse(x, y + 0.35 * s, 0.03 * s), [(255, 240, 170), (200, 150, 40)])
        self.heads = [self._head(opening) for opening in (0.0, 0.5, 1.0)]

    def _head(self, opening: float) -> Sprite:
        """Paint the head about its middle, the mouth open by a share."""
        s, fur = self.size, self.fur
        head = self.sheet(-0.44 * s, -0.46 * s, 0.44 * s, 0.42 * s)
        if self.pointed:
            self._pointed_ears(head)
        drop = 0.1 * opening
        chin, side = (0, 0.25 + 1.3 * drop), 0.2 + drop
        jaw = shapes.curve([(-0.12, 0.08), (-0.11, side), chin, (0.11, side), (0.12, 0.08)]) * s
        head.fill(jaw, [self.muzzle, dark(self.muzzle, 0.35)])
        half = [(0.2, -0.24), (0.26, -0.04), (0.2, 0.12)]
        skull = shapes.curve([(0, -0.3), *half, (0, 0.2), *((-x, y) for x, y in reversed(half))]) * s
        head.fill(skull, [light(fur, 0.25), fur, dark(fur, 0.25)], angle_degrees=75, grain=0.05, grain_size=0.015)
        if self.patch:
            head.fill(shapes.ellipse(0.11 * s, -0.08 * s, 0.1 * s, 0.12 * s), dark(fur, 0.6), soft=0.008)
        if opening:
            tongue = shapes.ellipse(0, 0.17 + 1.1 * drop, 0.06, 0.03 + 0.4 * drop) * s
            throat = [(-0.1, 0.1), (-0.085, 0.17 + drop), (0, 0.2 + 1.3 * drop), (0.085, 0.17 + drop), (0.1, 0.1)]
            head.fill(shapes.curve(throat) * s, (84, 16, 26))
            head.fill(tongue, [(255, 150, 150), (214, 84, 96)])
        self._face(head)
        if not self.pointed:
            ear = shapes.curve([(-0.2, -0.24), (-0.34, -0.2), (-0.37, 0.06), (-0.29, 0.16), (-0.2, 0.02)]) * s
            for outline in (ear, ear * (-1, 1)):
                head.fill(outline, [dark(fur, 0.2), dark(fur, 0.5)], grain=0.05)
        return head.sprite()

    def _pointed_ears(self, head: Painting) -> None:
        ear = np.array([(-0.26, -0.06), (-0.3, -0.42), (-0.06, -0.24)]) * self.size
        for outline in (ear, ear * (-1, 1)):
            middle = outline.mean(axis=0)
            head.fill(outline, [self.fur, dark(self.fur, 0.35)])
            head.fill((outline - middle) * 0.55 + middle, (214, 150, 140))

    def _face(self, head: Painting) -> None:
        s, muzzle = self.size, [light(self.muzzle, 0.3), self.muzzle, dark(self.muzzle, 0.12)]
        for side in (-1, 1):
            head.fill(shapes.ellipse(side * 0.075, 0.09, 0.095, 0.075) * s, muzzle)
            head.fill(shapes.ellipse(side * 0.11, -0.08, 0.042, 0.046) * s, (250, 246, 236))
            head.fill(shapes.ellipse(side * 0.107, -0.076, 0.033) * s, (34, 20, 14))
            head.fill(shapes.ellipse(side * 0.107 + 0.01, -0.09, 0.011, count=8) * s, (255, 255, 255))
        nose = shapes.curve([(-0.06, 0.01), (0.06, 0.01), (0.035, 0.065), (0, 0.08), (-0.035, 0.065)]) * s
        head.fill(nose, [(80, 70, 76), (18, 14, 18)])

    def draw(self, canvas: Canvas, time: float) -> None:
        index, age = since(self.times, time)
        barking = index >= 0 and age < self.length
        opening = float(np.sin(np.pi * min(1.0, (age + 0.05) / (self.length + 0.05)))) if barking else 0.0
        mouth = 2 if opening > 0.6 else 1 if opening > 0.15 else 0
        sway = 3 * np.sin(1.3 * time)
        y = self.y - 0.05 * opening
        canvas.stamp(self.heads[mouth], self.x, y, angle_degrees=float(sway), scale=1 + 0.07 * opening)
        if barking:
            arcs = np.stack([shapes.ellipse(0, 0, 1, 1, -22, 22, 7), shapes.ellipse(0, 0, 1, 1, 158, 202, 7)])
            reach = np.array((0.36, 0.46)) * self.size + 0.4 * age
            arcs = (arcs[None] * reach[:, None, None, None]).reshape(4, 7, 2)
            canvas.lines(arcs + (self.x, y + 0.12 * self.size), (255, 255, 240), 0.012)

    def sound(self) -> sounds.Wave:
        pitch = 260 / self.size * self.pick(0.9, 1.1)
        track = sounds.silence()
        barks = []
        for _ in range(2):
            time = sounds.ticks(self.length)
            share = time / self.length
            contour = pitch * (0.75 + 0.75 * np.sin(np.pi * share**0.6) + 0.06 * self.rng.standard_normal())
            ratio = 0.75 / self.size
            formants = [(620 * ratio, 180, 1.0), (1250 * ratio, 260, 0.8), (2600 * ratio, 500, 0.35), (150, 200, 0.1)]
            bark = sounds.voiced(contour * (1 + 0.03 * sounds.noise(self.rng, 40, 160, self.length)), formants)
            bark = bark / np.abs(bark).max() + 0.12 * sounds.noise(self.rng, 700, 4000, self.length)
            barks.append(sounds.fade(bark * np.exp(-2.2 * share), 0.008, 0.06))
        for place, moment in enumerate(self.times):
            sounds.place(track, barks[place % 2], moment, float(self.rng.uniform(0.75, 1.0)))
        return sounds.reverberate(self.rng, track, 0.4, 0.1)
