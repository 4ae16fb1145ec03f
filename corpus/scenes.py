"""Outdoor backdrops: skies, hills, woods, streets, gardens, by day and by night. Each covers the whole sheet."""

import numpy as np

from .colours import dark, hue, light, mix
from .painting import Painting
from .shapes import box, curve, ellipse, ribbon

Rng = np.random.Generator


def whole(ground: Painting, top: float | None = None, bottom: float | None = None) -> np.ndarray:
    """Outline the sheet, or a band of it."""
    return box(
        ground.left - 0.1,
        ground.top - 0.1 if top is None else top,
        ground.right + 0.1,
        ground.bottom + 0.1 if bottom is None else bottom,
    )


def sky(ground: Painting, rng: Rng, horizon: float = 0.7) -> None:
    """Paint a day or evening sky with a sun and clouds."""
    mood = rng.random()
    if mood < 0.6:
        top, low = hue(rng.uniform(200, 222), 0.62, 0.86), hue(rng.uniform(190, 205), 0.22, 0.97)
    elif mood < 0.82:
        top, low = hue(rng.uniform(230, 260), 0.45, 0.62), hue(rng.uniform(18, 38), 0.5, 0.98)
    else:
        top, low = hue(210, 0.15, 0.68), hue(205, 0.08, 0.9)
    ground.fill(whole(ground, bottom=horizon + 0.05), [top, mix(top, low, 0.55), low])
    x, y = rng.uniform(0.1, 1.2), rng.uniform(0.05, 0.3)
    ground.fill(ellipse(x, y, 0.11), (255, 250, 215), soft=0.05, opacity=0.55)
    for _ in range(rng.integers(2, 6)):
        cloud(ground, rng, rng.uniform(ground.left, ground.right), rng.uniform(0.02, 0.6 * horizon))


def cloud(ground: Painting, rng: Rng, x: float, y: float, opacity: float = 0.75) -> None:
    """Paint a soft cloud with a shaded lower side."""
    size = rng.uniform(0.05, 0.11)
    for _ in range(5):
        dx, dy = rng.normal(0, 1.3 * size), rng.normal(0, 0.3 * size)
        outline = ellipse(x + dx, y + dy, size * rng.uniform(0.8, 1.5), size * rng.uniform(0.45, 0.7))
        ground.fill(outline, [(255, 255, 255), (216, 222, 236)], soft=0.018, opacity=opacity)


def hills(ground: Painting, rng: Rng, horizon: float, colour: np.ndarray, count: int = 2) -> None:
    """Paint ridges of hills, the farther the paler, above a plain of the same colour."""
    haze = np.array([206.0, 220, 234])
    for ridge in range(count):
        share = (ridge + 1) / (count + 1)
        tone = mix(haze, colour, 0.3 + 0.55 * share)
        base = horizon - 0.16 * (1 - share)
        xs = np.linspace(ground.left - 0.1, ground.right + 0.1, 9)
        ys = base - rng.uniform(0, 0.12, 9)
        line = curve(list(zip(xs, ys, strict=True)), closed=False)
        outline = np.concatenate([line, [(ground.right + 0.1, horizon + 0.1), (ground.left - 0.1, horizon + 0.1)]])
        ground.fill(outline, [light(tone, 0.15), dark(tone, 0.15)], grain=0.06)
    ground.fill(whole(ground, top=horizon), [light(colour, 0.12), dark(colour, 0.3)], grain=0.09, grain_size=0.02)


def grass(ground: Painting, rng: Rng, top: float, colour: np.ndarray, count: int = 60) -> None:
    """Paint tufts of grass and a few flowers below `top`."""
    for _ in range(count):
        x, depth = rng.uniform(ground.left, ground.right), rng.random() ** 1.5
        y, height = top + 0.02 + depth * (ground.bottom - top), 0.02 + 0.04 * depth
        tone = light(colour, 0.2) if rng.random() < 0.5 else dark(colour, 0.25)
        ground.stroke(np.array([(x, y), (x + rng.normal(0, 0.012), y - height)]), tone, 0.006)
    for _ in range(rng.integers(0, 12)):
        x, y = rng.uniform(ground.left, ground.right), rng.uniform(top + 0.05, ground.bottom)
        ground.fill(ellipse(x, y, 0.011, count=8), hue(rng.choice((0, 48, 290, 330)), 0.4, 1.0))


def tree(ground: Painting, rng: Rng, x: float, base: float, height: float, colour: np.ndarray) -> None:
    """Paint a round tree or a fir."""
    ground.fill(ellipse(x, base, 0.35 * height, 0.05 * height), (10, 20, 15), soft=0.02, opacity=0.4)
    trunk = hue(25, 0.45, 0.4)
    ground.fill(box(x - 0.04 * height, base - 0.5 * height, x + 0.04 * height, base), [light(trunk), dark(trunk)])
    if rng.random() < 0.35:
        for layer in range(3):
            top, half = base - height * (1 - 0.24 * layer), height * (0.16 + 0.07 * layer)
            low = top + 0.46 * height
            ground.fill(
                np.array([(x, top), (x + half, low), (x - half, low)]), [light(colour, 0.1), dark(colour)], grain=0.12
            )
        return
    for _ in range(7):
        cx, cy = x + rng.normal(0, 0.13 * height), base - height * rng.uniform(0.55, 0.88)
        radius = height * rng.uniform(0.13, 0.24)
        tone = mix(colour, light(colour), rng.random() * 0.5)
        ground.fill(
            ellipse(cx, cy, radius, count=18), [light(tone, 0.25), tone, dark(tone)], angle_degrees=60, grain=0.1
        )


def meadow(ground: Painting, rng: Rng) -> None:
    """Paint a landscape: sky, hills, grass and trees."""
    horizon, green = rng.uniform(0.5, 0.68), hue(rng.uniform(75, 125), 0.5, rng.uniform(0.55, 0.75))
    sky(ground, rng, horizon)
    hills(ground, rng, horizon, green)
    for _ in range(rng.integers(1, 5)):
        x, base = rng.uniform(ground.left, ground.right), horizon + rng.uniform(0.0, 0.08)
        tree(ground, rng, x, base, rng.uniform(0.16, 0.4), dark(green, 0.25))
    grass(ground, rng, horizon, green)


def woods(ground: Painting, rng: Rng) -> None:
    """Paint the inside of a wood: out-of-focus light through leaves, trunks, foliage at the edges."""
    green = hue(rng.uniform(80, 150), rng.uniform(0.35, 0.6), rng.uniform(0.45, 0.75))
    ground.fill(whole(ground), [light(green, 0.35), green, dark(green, 0.55)], grain=0.16, grain_size=0.12)
    for _ in range(24):
        x, y = rng.uniform(ground.left, ground.right), rng.uniform(ground.top, 0.8)
        tone = light(green, rng.uniform(0.1, 0.7)) if rng.random() < 0.6 else dark(green, rng.uniform(0.1, 0.4))
        ground.fill(ellipse(x, y, rng.uniform(0.03, 0.11), count=18), tone, soft=0.012, opacity=rng.uniform(0.15, 0.5))
    for _ in range(rng.integers(1, 4)):
        x, width = rng.uniform(ground.left, ground.right), rng.uniform(0.04, 0.1)
        bark = mix(hue(28, 0.4, 0.4), green, 0.35)
        line = np.array([(x + 0.02 * rng.normal(), ground.bottom), (x, 0.5), (x + 0.04 * rng.normal(), ground.top)])
        ground.fill(
            ribbon(line, 1.3 * width, width), [dark(bark), light(bark, 0.2), dark(bark)], angle_degrees=0, grain=0.1
        )
    for _ in range(30):
        side = rng.choice((0.0, 1.0))
        x = ground.left + side * (ground.right - ground.left) + rng.normal(0, 0.16)
        leaf(
            ground,
            rng,
            x,
            rng.uniform(ground.top, ground.bottom),
            rng.uniform(0.05, 0.1),
            dark(green, rng.uniform(0, 0.6)),
        )


def leaf(ground: Painting, rng: Rng, x: float, y: float, size: float, colour: np.ndarray) -> None:
    """Paint one leaf at any angle."""
    angle = rng.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    points = [(-1.0, 0.0), (-0.2, 0.42), (0.5, 0.3), (1.0, 0.0), (0.5, -0.3), (-0.2, -0.42)]
    knots = [tuple(np.array([x, y]) + size * (a * along + b * across)) for a, b in points]
    ground.fill(curve(knots, steps=3), [light(colour, 0.2), colour], angle_degrees=float(np.degrees(angle)) + 90)


def skyline(ground: Painting, rng: Rng, base: float, wall: np.ndarray, lit: float) -> None:
    """Paint a row of houses with windows; `lit` is the share of windows with light."""
    x = ground.left - 0.05
    while x < ground.right:
        width, height = rng.uniform(0.12, 0.28), rng.uniform(0.15, 0.48)
        tone = mix(wall, hue(rng.uniform(0, 360), 0.3, 0.6), rng.uniform(0, 0.25))
        ground.fill(box(x, base - height, x + width, base), [light(tone, 0.08), dark(tone, 0.3)], grain=0.04)
        for row in np.arange(base - height + 0.03, base - 0.05, 0.06):
            for column in np.arange(x + 0.022, x + width - 0.03, 0.048):
                glass = hue(44, 0.55, 1.0) if rng.random() < lit else dark(tone, 0.35)
                ground.fill(box(column, row, column + 0.022, row + 0.032), glass)
        x += width + rng.choice((0.0, 0.012, 0.05))


def night(ground: Painting, rng: Rng, horizon: float = 0.85) -> None:
    """Paint a night sky with stars, a moon and a dark skyline."""
    tint = rng.uniform(222, 262)
    ground.fill(whole(ground), [hue(tint, 0.75, 0.12), hue(tint, 0.65, 0.26), hue(tint + 20, 0.5, 0.4)])
    for _ in range(70):
        x, y = rng.uniform(ground.left, ground.right), rng.uniform(ground.top, horizon)
        ground.fill(ellipse(x, y, rng.uniform(0.002, 0.005), count=6), (255, 255, 235), opacity=rng.uniform(0.3, 1))
    if rng.random() < 0.5:
        x, y = rng.uniform(0.1, 1.2), rng.uniform(0.08, 0.25)
        ground.fill(ellipse(x, y, 0.1), (190, 200, 255), soft=0.05, opacity=0.3)
        ground.fill(ellipse(x, y, 0.05), [(255, 252, 232), (214, 210, 190)], angle_degrees=40, grain=0.05)
    skyline(ground, rng, horizon + 0.02, hue(tint, 0.5, 0.16), 0.3)
    ground.fill(whole(ground, top=horizon), [hue(tint, 0.5, 0.2), hue(tint, 0.6, 0.08)], grain=0.1)


def street(ground: Painting, rng: Rng) -> None:
    """Paint a street by day: sky, a row of houses, pavement."""
    sky(ground, rng, 0.7)
    skyline(ground, rng, 0.74, hue(rng.choice((15, 30, 210)), rng.uniform(0.15, 0.4), rng.uniform(0.55, 0.75)), 0.12)
    ground.fill(whole(ground, top=0.73), [(168, 164, 160), (96, 94, 98)], grain=0.05)


def garden(ground: Painting, rng: Rng) -> None:
    """Paint a lawn with a fence or a hedge, and perhaps a house behind it."""
    green = hue(rng.uniform(82, 118), rng.uniform(0.5, 0.65), rng.uniform(0.6, 0.78))
    horizon = rng.uniform(0.5, 0.62)
    sky(ground, rng, horizon)
    if rng.random() < 0.5:
        left, wall = rng.uniform(-0.1, 0.9), hue(rng.choice((8, 35, 45)), rng.uniform(0.2, 0.5), 0.85)
        ground.fill(box(left, 0.16, left + 0.55, horizon), [light(wall), dark(wall, 0.15)], grain=0.03)
        roof = np.array([(left - 0.06, 0.18), (left + 0.275, -0.05), (left + 0.61, 0.18)])
        ground.fill(roof, [hue(10, 0.55, 0.6), hue(10, 0.6, 0.4)])
        ground.fill(box(left + 0.1, 0.25, left + 0.22, 0.4), [(120, 150, 180), (200, 220, 235)])
    for _ in range(rng.integers(1, 4)):
        tree(
            ground,
            rng,
            rng.uniform(ground.left, ground.right),
            horizon + 0.04,
            rng.uniform(0.3, 0.5),
            dark(green, 0.25),
        )
    post = hue(rng.uniform(20, 45), rng.uniform(0.05, 0.4), rng.uniform(0.6, 0.95))
    for x in np.arange(ground.left, ground.right, 0.085):
        top = horizon - 0.17
        outline = np.array([(x, top + 0.025), (x + 0.03, top), (x + 0.06, top + 0.025), (x + 0.06, horizon + 0.03)])
        ground.fill(np.concatenate([outline, [(x, horizon + 0.03)]]), [light(post), dark(post, 0.2)])
    ground.fill(whole(ground, top=horizon), [light(green, 0.15), dark(green, 0.25)], grain=0.1, grain_size=0.018)
    grass(ground, rng, horizon, green, 70)
