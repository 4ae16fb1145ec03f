"""A siren with its light on the roof of an emergency vehicle at night: the tone follows the light."""

import numpy as np

from .. import scenes, shapes, sounds
from ..canvas import Canvas
from ..colours import dark, hue, light, mix
from ..painting import Painting, Sprite
from ..subject import FRAMES_PER_SECOND, Subject


class Siren(Subject):
    """A bar of two lamps (two-tone horn: one lamp, one tone) or one turning beacon (a wail, up and down)."""

    label = "siren"

    def __init__(self, rng: np.random.Generator, aspect: float, pauses: list[tuple[float, float]]):
        super().__init__(rng, aspect, pauses)
        self.twin = bool(rng.random() < 0.6)
        self.size = self.pick(0.85, 1.15)
        self.x, self.y = aspect / 2 + self.pick(-0.12, 0.12), self.pick(0.52, 0.62)
        pair = (
            ((0, 222), (222, 222), (0, 0), (28, 28))[int(rng.integers(0, 4))]
            if self.twin
            else (float(rng.choice((0, 222, 28))),) * 2
        )
        self.lamps = [hue(tone + self.pick(-6, 6), 0.88, 1.0) for tone in pair]
        self.period = round(self.pick(0.32, 0.6) * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
        self.shift = self.pick(0, 1)
        self.on = np.array(self.activity(0.04))

    def paint(self, ground: Painting) -> None:
        scenes.night(ground, self.rng, self.pick(0.62, 0.75))
        s, x, y = self.size, self.x, self.y
        body = hue(self.rng.choice((0, 215, 50, 0)), self.rng.choice((0.02, 0.75)), 0.92)
        stripe = hue(self.rng.choice((0, 215, 60, 120)), 0.85, 0.8)
        half = [(0.72, 1.3), (0.6, y + 0.2 * s), (0.48, y + 0.08)]
        knots = [*((x - u * s, v) for u, v in half), (x, y + 0.06), *((x + u * s, v) for u, v in reversed(half))]
        roof = shapes.curve(knots, closed=False)
        ground.fill(roof, [light(body, 0.3), mix(body, (90, 96, 130), 0.25), dark(body, 0.55)])
        screen = shapes.curve(
            [
                (x - 0.44 * s, y + 0.2 * s),
                (x, y + 0.16 * s),
                (x + 0.44 * s, y + 0.2 * s),
                (x + 0.52 * s, 1.1),
                (x - 0.52 * s, 1.1),
            ]
        )
        ground.fill(screen, [(62, 78, 116), (150, 172, 205), (84, 102, 140)], angle_degrees=65)
        for left in (-0.3, -0.2, 0.12):
            glare = np.array(
                [
                    (x + left * s, y + 0.2 * s),
                    (x + (left + 0.06) * s, y + 0.2 * s),
                    (x + (left - 0.12) * s, 1.2),
                    (x + (left - 0.18) * s, 1.2),
                ]
            )
            ground.fill(glare, (255, 255, 255), soft=0.01, opacity=0.22)
        for place in range(8):
            left = x + (place - 4) * 0.118 * s
            ground.fill(
                shapes.box(left, y + 0.095, left + 0.118 * s, y + 0.13), stripe if place % 2 else (245, 245, 245)
            )
        ground.fill(shapes.box(x - 0.42 * s, y + 0.03, x + 0.42 * s, y + 0.07, 0.015), [(110, 112, 124), (30, 30, 38)])
        self.centres = [x - 0.23 * s, x + 0.23 * s] if self.twin else [x]
        for centre, lamp in zip(self.centres, self.lamps, strict=False):
            self._glass(ground, centre, lamp)
        self.lights = [self._light(lamp) for lamp in self.lamps[: len(self.centres)]]
        self.washes = [self._wash(lamp) for lamp in self.lamps[: len(self.centres)]]
        self.beam = self._beam()

    def _dome(self, x: float, y: float) -> shapes.Points:
        if self.twin:
            return shapes.box(x - 0.19 * self.size, y - 0.16 * self.size, x + 0.19 * self.size, y + 0.045, 0.07)
        r = 0.2 * self.size
        return np.concatenate(
            [shapes.ellipse(x, y - 0.1, r, 1.25 * r, 180, 360, 20), [(x + r, y + 0.045), (x - r, y + 0.045)]]
        )

    def _glass(self, ground: Painting, x: float, lamp: np.ndarray) -> None:
        dome = self._dome(x, self.y)
        ground.fill(dome, [mix(lamp, (255, 255, 255), 0.15) * 0.6, lamp * 0.4, lamp * 0.22], grain=0.04)
        ground.stroke(dome, dark(lamp, 0.75), 0.012, closed=True)
        ground.fill(
            shapes.ellipse(x - 0.08 * self.size, self.y - 0.1 * self.size, 0.02, 0.05),
            (255, 255, 255),
            soft=0.01,
            opacity=0.5,
        )

    def _light(self, lamp: np.ndarray) -> Sprite:
        sheet = self.sheet(-0.3, -0.42, 0.3, 0.1)
        sheet.fill(self._dome(0, 0), [(255, 255, 245), mix(lamp, (255, 255, 255), 0.55), lamp], centre=(0, -0.05))
        return sheet.sprite()

    def _wash(self, lamp: np.ndarray) -> Sprite:
        sheet = self.sheet(-0.8, -0.8, 0.8, 0.8)
        sheet.fill(shapes.ellipse(0, 0, 0.79), [0.85 * lamp, 0.38 * lamp, 0.13 * lamp, 0 * lamp], centre=(0, 0))
        return sheet.sprite()

    def _beam(self) -> Sprite:
        sheet = self.sheet(-1.3, -0.5, 1.3, 0.5)
        tones = [0.8 * self.lamps[0], (0, 0, 0)]
        for side, angle in ((-1, 180), (1, 0)):
            cone = np.array([(0, -0.03), (side * 1.25, -0.34), (side * 1.25, 0.34), (0, 0.03)])
            sheet.fill(cone, tones, angle_degrees=angle, soft=0.02, opacity=0.8)
        return sheet.sprite()

    def _phase(self, time: float) -> float:
        return time / self.period + self.shift

    def draw(self, canvas: Canvas, time: float) -> None:
        power = float(np.interp(time, self.on[:, 0], self.on[:, 1]))
        phase = self._phase(time)
        if self.twin:
            lit = int(phase) % 2
            flicker = 1.0 if int(phase % 1 * 6) % 2 == 0 else 0.55
            shares = [power * flicker if place == lit else 0.0 for place in (0, 1)]
        else:
            turn = float(np.sin(np.pi * phase))
            shares = [power * (0.45 + 0.55 * abs(np.cos(np.pi * phase)))]
            reach = 0.12 + abs(turn)
            canvas.stamp(self.beam, self.x, self.y - 0.1, scale=reach, stretch=1.0, opacity=power, glow=True)
        for centre, share, lamp, wash in zip(self.centres, shares, self.lights, self.washes, strict=True):
            canvas.stamp(wash, centre, self.y - 0.06, scale=1.25, opacity=share, glow=True)
            canvas.stamp(lamp, centre, self.y, opacity=share)

    def sound(self) -> sounds.Wave:
        time = sounds.ticks(sounds.CLIP_SECONDS)
        low = self.pick(480, 640)
        phase = time / np.float32(self.period) + np.float32(self.shift)
        if self.twin:
            tone = np.where(phase.astype(np.int32) % 2 == 0, low, low * 1.335)
            harmonics: tuple[float, ...] = (1, 0.6, 0.5, 0.35, 0.25, 0.18, 0.1)
        else:
            tone = low * (1.45 - 0.5 * np.cos(np.pi * phase).astype(np.float32))
            harmonics = (1, 0.25, 0.35, 0.08, 0.15)
        wave = sounds.sweep(tone, harmonics)
        return sounds.reverberate(self.rng, wave * sounds.steps(self.activity(0.04)), 0.5, 0.12)
