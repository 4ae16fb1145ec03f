"""Indoor backdrops: a stage, rooms, a sports hall, a desk, a tower. Each covers the whole sheet."""

import numpy as np

from .colours import dark, hue, light, mix
from .painting import Painting
from .scenes import Rng, cloud, hills, leaf, whole
from .shapes import box, curve, ellipse


def planks(ground: Painting, rng: Rng, top: float, wood: np.ndarray, count: int = 9) -> None:
    """Paint a floor of boards that run away from the viewer."""
    ground.fill(whole(ground, top=top), [dark(wood, 0.35), wood, light(wood, 0.12)], grain=0.06, grain_size=0.02)
    middle = (ground.left + ground.right) / 2
    for x in np.linspace(middle - 2.4, middle + 2.4, 2 * count):
        far = middle + 0.45 * (x - middle)
        ground.stroke(np.array([(far, top), (x, ground.bottom)]), dark(wood, 0.5), 0.006, opacity=0.7)
    ground.fill(box(ground.left, top - 0.006, ground.right, top + 0.02), (0, 0, 0), soft=0.012, opacity=0.35)


def stage(ground: Painting, rng: Rng) -> None:
    """Paint a stage: a curtain in folds, light from above, boards."""
    cloth = hue(
        rng.choice((350, 8, 285, 265, 325)) + rng.uniform(-8, 8), rng.uniform(0.6, 0.85), rng.uniform(0.4, 0.62)
    )
    ground.fill(whole(ground), [dark(cloth, 0.55), cloth])
    x = ground.left - 0.1
    while x < ground.right + 0.1:
        width = rng.uniform(0.09, 0.16)
        fold = [dark(cloth, 0.5), light(cloth, 0.12), cloth, dark(cloth, 0.5)]
        ground.fill(box(x, ground.top, x + width, 0.8), fold, angle_degrees=0, opacity=0.85)
        x += width
    ground.fill(whole(ground, bottom=0.12), (0, 0, 0), soft=0.08, opacity=0.5)
    for _ in range(rng.integers(1, 4)):
        x, lean = rng.uniform(0.1, 1.2), rng.uniform(-0.25, 0.25)
        beam = np.array([(x - 0.02, -0.15), (x + 0.02, -0.15), (x + lean + 0.24, 0.95), (x + lean - 0.24, 0.95)])
        ground.fill(beam, [(255, 244, 205), (255, 236, 190)], soft=0.02, opacity=0.16)
    planks(ground, rng, rng.uniform(0.7, 0.78), hue(rng.uniform(22, 34), 0.55, rng.uniform(0.45, 0.65)))


def room(ground: Painting, rng: Rng) -> None:
    """Paint a living room: wallpaper, skirting, a window or a picture, a plant, a floor."""
    wall = hue(rng.uniform(0, 360), rng.uniform(0.1, 0.32), rng.uniform(0.72, 0.95))
    floor = rng.uniform(0.72, 0.82)
    ground.fill(whole(ground), [light(wall, 0.15), dark(wall, 0.1)], angle_degrees=70, grain=0.025)
    if rng.random() < 0.5:
        for x in np.arange(ground.left, ground.right, rng.uniform(0.08, 0.16)):
            ground.fill(box(x, ground.top, x + 0.03, floor), dark(wall, 0.12), opacity=0.6)
    else:
        for row, y in enumerate(np.arange(ground.top, floor, 0.12)):
            for x in np.arange(ground.left + 0.06 * (row % 2), ground.right, 0.12):
                ground.fill(ellipse(x, y, 0.014, 0.02, count=8), dark(wall, 0.18), opacity=0.7)
    for _ in range(rng.integers(1, 3)):
        window(ground, rng, rng.uniform(-0.1, 1.1), rng.uniform(0.06, 0.18))
    ground.fill(whole(ground, top=floor - 0.035, bottom=floor), [light(wall, 0.7), light(wall, 0.3)])
    planks(ground, rng, floor, hue(rng.uniform(18, 38), rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.75)))
    if rng.random() < 0.6:
        x, green = rng.choice((0.06, 1.27)) + rng.normal(0, 0.05), hue(rng.uniform(90, 150), 0.5, 0.55)
        for _ in range(9):
            leaf(
                ground,
                rng,
                x + rng.normal(0, 0.06),
                floor - rng.uniform(0.08, 0.3),
                0.07,
                dark(green, rng.uniform(0, 0.4)),
            )
        pot = hue(rng.uniform(5, 40), 0.5, 0.7)
        outline = np.array(
            [(x - 0.07, floor - 0.08), (x + 0.07, floor - 0.08), (x + 0.05, floor + 0.06), (x - 0.05, floor + 0.06)]
        )
        ground.fill(outline, [light(pot), pot, dark(pot)], angle_degrees=0)


def window(ground: Painting, rng: Rng, x: float, y: float) -> None:
    """Paint a window with a view, or a framed picture."""
    width, height = rng.uniform(0.2, 0.36), rng.uniform(0.24, 0.36)
    frame = (244, 240, 230) if rng.random() < 0.5 else hue(28, 0.6, rng.uniform(0.25, 0.5))
    ground.fill(box(x + 0.01, y + 0.02, x + width + 0.01, y + height + 0.02), (0, 0, 0), soft=0.015, opacity=0.35)
    ground.fill(box(x, y, x + width, y + height), frame)
    tone = hue(rng.uniform(190, 230), 0.4, 0.9)
    ground.fill(box(x + 0.018, y + 0.018, x + width - 0.018, y + height - 0.018), [tone, light(tone, 0.6)])
    hill = curve(
        [(x + 0.018, y + 0.7 * height), (x + 0.5 * width, y + 0.55 * height), (x + width - 0.018, y + 0.72 * height)],
        False,
    )
    base = [(x + width - 0.018, y + height - 0.018), (x + 0.018, y + height - 0.018)]
    ground.fill(np.concatenate([hill, base]), hue(rng.uniform(60, 140), 0.45, 0.65))
    if rng.random() < 0.6:
        ground.fill(box(x + width / 2 - 0.007, y, x + width / 2 + 0.007, y + height), frame)
        ground.fill(box(x, y + height / 2 - 0.007, x + width, y + height / 2 + 0.007), frame)


def court(ground: Painting, rng: Rng) -> None:
    """Paint a sports hall or a playground: wall bars or bricks, a floor with lines."""
    floor = rng.uniform(0.62, 0.72)
    wall = hue(rng.choice((205, 190, 30, 15)) + rng.uniform(-10, 10), rng.uniform(0.15, 0.4), rng.uniform(0.65, 0.85))
    if rng.random() < 0.5:
        bricks(ground, rng, hue(rng.uniform(8, 26), 0.5, rng.uniform(0.5, 0.7)))
    else:
        ground.fill(whole(ground), [light(wall, 0.3), dark(wall, 0.1)], grain=0.02)
        for x in np.arange(ground.left + rng.uniform(0, 0.2), ground.right, 0.42):
            ground.fill(box(x, 0.02, x + 0.26, 0.2, 0.01), [(236, 246, 255), (176, 206, 230)])
            ground.fill(box(x, 0.3, x + 0.26, floor), dark(wall, 0.25))
    tone = hue(rng.choice((28, 32, 150, 10)) + rng.uniform(-6, 6), rng.uniform(0.45, 0.65), rng.uniform(0.6, 0.8))
    ground.fill(whole(ground, top=floor), [dark(tone, 0.25), light(tone, 0.15)], grain=0.04, grain_size=0.015)
    for y, width in ((floor + 0.06, 0.01), (floor + 0.24, 0.018)):
        ground.fill(box(ground.left, y, ground.right, y + width), (250, 250, 240), opacity=0.8)
    x = rng.uniform(0.2, 1.1)
    ground.stroke(ellipse(x, floor + 0.2, 0.5, 0.13), (250, 250, 240), 0.014, closed=True, opacity=0.7)


def bricks(ground: Painting, rng: Rng, colour: np.ndarray) -> None:
    """Paint a brick wall over the whole sheet."""
    ground.fill(whole(ground), mix(colour, (205, 200, 190), 0.6), grain=0.05)
    for row, y in enumerate(np.arange(ground.top, ground.bottom, 0.075)):
        for x in np.arange(ground.left - 0.09 * (row % 2), ground.right, 0.18):
            tone = mix(colour, light(colour) if rng.random() < 0.5 else dark(colour), 0.45 * rng.random())
            ground.fill(box(x, y, x + 0.168, y + 0.064), tone)


def desk(ground: Painting, rng: Rng) -> None:
    """Paint a desk seen from above, with paper, a cup and a pencil."""
    wood = hue(rng.choice((25, 32, 20, 210)), rng.uniform(0.12, 0.5), rng.uniform(0.45, 0.85))
    ground.fill(whole(ground), [light(wood, 0.2), wood, dark(wood, 0.2)], angle_degrees=65, grain=0.05)
    for _ in range(18):
        y = rng.uniform(ground.top, ground.bottom)
        xs = np.linspace(ground.left, ground.right, 7)
        line = curve([(x, y + rng.normal(0, 0.006)) for x in xs], closed=False, steps=4)
        ground.stroke(line, dark(wood, 0.35), 0.004, opacity=0.35)
    x, y = rng.uniform(-0.1, 1.0), rng.uniform(-0.15, 0.02)
    ground.fill(box(x + 0.01, y + 0.015, x + 0.36, y + 0.315), (0, 0, 0), soft=0.012, opacity=0.3)
    ground.fill(box(x, y, x + 0.35, y + 0.3), [(255, 255, 252), (232, 230, 224)], angle_degrees=30)
    for line_y in np.arange(y + 0.04, y + 0.27, 0.035):
        ground.stroke(np.array([(x + 0.03, line_y), (x + rng.uniform(0.2, 0.32), line_y)]), (150, 155, 175), 0.006)
    x, y, cup = rng.choice((0.12, 1.2)), rng.uniform(0.06, 0.2), hue(rng.uniform(0, 360), 0.6, 0.8)
    ground.fill(ellipse(x + 0.02, y + 0.03, 0.1), (0, 0, 0), soft=0.02, opacity=0.35)
    ground.fill(ellipse(x, y, 0.095), [light(cup, 0.5), cup], angle_degrees=50)
    ground.fill(ellipse(x, y, 0.075), [(38, 20, 10), (92, 56, 30)], angle_degrees=60)


def belfry(ground: Painting, rng: Rng) -> None:
    """Paint the arch of a bell tower with the land beyond it."""
    dusk = rng.random() < 0.4
    top, low = (hue(232, 0.55, 0.5), hue(28, 0.55, 0.98)) if dusk else (hue(208, 0.6, 0.85), hue(198, 0.15, 0.98))
    ground.fill(whole(ground), [top, low])
    for _ in range(3):
        cloud(ground, rng, rng.uniform(0.2, 1.1), rng.uniform(0.1, 0.5), 0.6)
    hills(ground, rng, rng.uniform(0.78, 0.9), hue(rng.uniform(70, 120), 0.4, 0.5 if dusk else 0.65))
    stone = hue(rng.uniform(25, 45), rng.uniform(0.08, 0.3), rng.uniform(0.5, 0.75))
    middle, half = 0.667 + rng.normal(0, 0.03), rng.uniform(0.54, 0.62)
    for side in (-1, 1):
        edge = middle + side * half
        outer = edge + side * 0.6
        ground.fill(
            box(min(edge, outer), ground.top, max(edge, outer), ground.bottom),
            [light(stone, 0.1), dark(stone, 0.25)],
            grain=0.07,
        )
        for row, y in enumerate(np.arange(ground.top, ground.bottom, 0.13)):
            ground.stroke(np.array([(edge, y), (outer, y)]), dark(stone, 0.45), 0.006)
            x = edge + side * (0.12 + 0.1 * (row % 2))
            ground.stroke(np.array([(x, y), (x, y + 0.13)]), dark(stone, 0.45), 0.006)
        ground.fill(
            box(edge - 0.012, ground.top, edge + 0.012, ground.bottom), dark(stone, 0.6), soft=0.01, opacity=0.6
        )
    arch = ellipse(middle, 0.22, half, 0.3, 180, 360)
    corners = [(middle + half + 0.05, ground.top - 0.1), (middle - half - 0.05, ground.top - 0.1)]
    ground.fill(np.concatenate([arch, corners]), [dark(stone, 0.15), stone], grain=0.07)
    ground.stroke(arch, dark(stone, 0.5), 0.016)
