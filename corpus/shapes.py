"""Outlines as arrays of points: every function returns float64 (points, 2) in world units, y pointing down."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Points = np.ndarray


def ellipse(
    x: float,
    y: float,
    radius_x: float,
    radius_y: float | None = None,
    start_degrees: float = 0.0,
    stop_degrees: float = 360.0,
    count: int = 36,
) -> Points:
    """Outline an ellipse, or an arc of one (whole degrees, clockwise on screen from the positive x axis)."""
    radius_y = radius_x if radius_y is None else radius_y
    return _arc(round(start_degrees), round(stop_degrees), count) * (radius_x, radius_y) + (x, y)


@lru_cache(maxsize=1024)
def _arc(start_degrees: int, stop_degrees: int, count: int) -> Points:
    """Return an arc of the unit circle."""
    angles = np.radians(np.linspace(start_degrees, stop_degrees, count))
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    arc.setflags(write=False)
    return arc


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Points:
    """Outline a rectangle, its corners rounded by `radius`."""
    if radius <= 0:
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    corners = [
        (right - radius, top + radius, -90),
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
    ]
    return np.concatenate([ellipse(x, y, radius, radius, start, start + 90, 7) for x, y, start in corners])


def curve(points: Sequence[tuple[float, float]], closed: bool = True, steps: int = 6) -> Points:
    """Draw a smooth Catmull-Rom curve through `points`, `steps` points for each span."""
    knots = np.asarray(points, float)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([knots[:1], knots, knots[-1:]])
    before, start, stop, after = knots[:-3], knots[1:-2], knots[2:-1], knots[3:]
    u = (np.arange(steps) / steps)[None, :, None]
    before, start, stop, after = (part[:, None, :] for part in (before, start, stop, after))
    spans = 0.5 * (
        2 * start
        + (stop - before) * u
        + (2 * before - 5 * start + 4 * stop - after) * u**2
        + (3 * start - before - 3 * stop + after) * u**3
    )
    line = spans.reshape(-1, 2)
    return line if closed else np.concatenate([line, knots[-2:-1]])


def ribbon(line: Points, start_width: float, stop_width: float) -> Points:
    """Outline a line that tapers from one width to another."""
    line = np.asarray(line, float)
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    half = np.linspace(start_width, stop_width, len(line))[:, None] / 2
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def turned(points: Points, degrees: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Turn points clockwise on screen about (x, y)."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    moved = np.asarray(points, float) - (x, y)
    result: Points = moved @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)
    return result
