"""One clip of the corpus: a subject, its place and the nuisances, all from (seed, index).

Clip i shows class i modulo the number of classes; nothing else of the corpus reaches it, so any worker may render it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import nuisances, sounds
from .canvas import Canvas
from .classes.ball import Ball
from .classes.bell import Bell
from .classes.bird import Bird
from .classes.car import Car
from .classes.dog import Dog
from .classes.drum import Drum
from .classes.fan import Fan
from .classes.fireworks import Fireworks
from .classes.guitar import Guitar
from .classes.keyboard import Keyboard
from .classes.pond import Pond
from .classes.siren import Siren
from .painting import Painting
from .subject import FRAME_COUNT, FRAMES_PER_SECOND, MARGIN, Subject

CLASSES: tuple[type[Subject], ...] = (
    Ball, Bell, Bird, Car, Dog, Drum, Fan, Fireworks, Guitar, Keyboard, Pond, Siren,
)  # fmt: skip
LABELS = tuple(kind.label for kind in CLASSES)
_PEAK = 0.85


class Look(NamedTuple):
    """Settings of rendering that all clips of a corpus share."""

    width: int
    """Width of the picture, pixels, even."""
    height: int
    """Height of the picture, pixels, even."""
    difficulty: float
    """Strength of the nuisances, 0..1."""


class Clip:
    """One clip: `frames()` and `waveform()` follow the timeline that `subject` drew when the clip was made."""

    def __init__(self, seed: int, index: int, look: Look):
        # Picture and sound draw from streams of their own, so that neither depends on which is made first or how often.
        planning, self._painting, self._mixing, elsewhere = np.random.SeedSequence([seed, index]).spawn(4)
        plan, away = _generator(planning), _generator(elsewhere)
        self.index, self.look = index, look
        self.aspect = look.width / look.height
        hard = look.difficulty
        self.pauses = nuisances.spans(plan, 0.2 + 0.4 * hard, 0.8, 1.4)
        self.cutaways = nuisances.spans(plan, 0.6 * hard, 0.6, 1.2)
        self.camera = nuisances.Camera(plan, self.aspect, hard)
        self.subject = CLASSES[index % len(CLASSES)](plan, self.aspect, self.pauses)
        self.offscreen: Subject | None = None
        if away.random() < 0.32 * hard:
            other = (index + int(away.integers(1, len(CLASSES)))) % len(CLASSES)
            self.offscreen = CLASSES[other](away, self.aspect, [])

    @property
    def label(self) -> str:
        """The class that is seen and heard."""
        return self.subject.label

    def frames(self) -> Iterator[bytes]:
        """Draw the frames one after the other, each as planar YUV 4:2:0."""
        rng, look, hard = _generator(self._painting), self.look, self.look.difficulty
        canvas = Canvas(look.width, look.height)
        ground = self._sheet(rng)
        self.subject.pixels_per_unit = 1.15 * look.height
        self.subject.rng = rng
        self.subject.paint(ground)
        backdrop = ground.sprite()
        bystander = nuisances.Bystander(rng, self.aspect, look.height) if rng.random() < 0.1 + 0.5 * hard else None
        near = nuisances.foreground(rng, self.aspect, look.height) if rng.random() < 0.08 + 0.4 * hard else None
        exposure = float(rng.uniform(0.92 - 0.25 * hard, 1.04 + 0.2 * hard))
        away = None
        if self.cutaways:
            elsewhere = self._sheet(rng)
            nuisances.SCENES[int(rng.integers(0, len(nuisances.SCENES)))](elsewhere, rng)
            away = elsewhere.sprite()
        for frame in range(FRAME_COUNT):
            time = frame / FRAMES_PER_SECOND
            canvas.look(self.camera.view(time))
            if away is not None and any(start <= time < stop for start, stop in self.cutaways):
                canvas.backdrop(away)
            else:
                canvas.backdrop(backdrop)
                if bystander is not None:
                    bystander.draw(canvas, time)
                self.subject.draw(canvas, time)
                if near is not None:
                    canvas.stamp(near)
            canvas.lighten(exposure)
            yield canvas.planar()

    def waveform(self) -> np.ndarray:
        """Synthesise the sound: int16 (160000,), the subject's sound and what disturbs it, never clipped."""
        rng, hard = _generator(self._mixing), self.look.difficulty
        self.subject.rng = rng
        mix = self.subject.sound()
        mix = mix / sounds.level(mix)
        decibels = rng.uniform(14 - 16 * hard, 24 - 16 * hard)
        mix += nuisances.background_noise(rng) * np.float32(10 ** (-decibels / 20))
        if rng.random() < 0.2 + 0.4 * hard:
            decibels = rng.uniform(16 - 16 * hard, 26 - 16 * hard)
            mix += nuisances.music(rng) * np.float32(10 ** (-decibels / 20))
        if self.offscreen is not None:
            self.offscreen.rng = rng
            other = self.offscreen.sound()
            decibels = rng.uniform(11 - 8 * hard, 16 - 8 * hard)
            mix += other * np.float32(10 ** (-decibels / 20) / sounds.level(other))
        gain = min(10 ** (rng.uniform(-24, -16) / 20), _PEAK / float(np.abs(mix).max()))
        return np.round(mix * (gain * 32767)).astype("<i2")

    def _sheet(self, rng: np.random.Generator) -> Painting:
        extent = (-MARGIN, -MARGIN, self.aspect + MARGIN, 1 + MARGIN)
        return Painting(extent, float(self.look.height), rng)


def _generator(stream: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(stream))
