"""Geometry of the report's charts: numbers in, coordinates and path strings out. The templates draw them as SVG."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_POINTS = 500
SCATTER_SIZE = 400.0
SCATTER_MARGIN = 14.0


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it is drawn and what it says."""

    position: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart in the coordinates of its SVG, y growing downwards."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    paths: dict[str, str]
    """Path data by role, such as "raw" and "smooth"."""
    rules: list[Tick] = field(default_factory=list)
    """Reference lines: horizontal in a line chart, vertical in a histogram."""
    width: float = 400.0
    height: float = 230.0
    left: float = 42.0
    right: float = 392.0
    top: float = 12.0
    bottom: float = 196.0


@dataclass(frozen=True)
class Scatter:
    """Points in the coordinates of a square SVG."""

    places: list[tuple[float, float]]
    groups: list[list[int]]
    """The points of each class."""
    size: float = SCATTER_SIZE


def line_chart(
    steps: Sequence[float], values: Sequence[float], rule: tuple[float, str] | None = None, smooth: bool = True
) -> Chart | None:
    """Chart values over steps, raw and smoothed; `rule` is a level with its name. None for fewer than two points."""
    if len(steps) < 2:
        return None
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    average = _moving_average(y, len(y) // 40 if smooth else 0)
    thin = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).astype(int))
    levels = [*y, rule[0]] if rule else y
    y_ticks = ticks(float(np.min(levels)), float(np.max(levels)), 5)
    low, high = min(y_ticks[0], np.min(levels)), max(y_ticks[-1], np.max(levels))
    place_x = _scale(x[0], x[-1], Chart.left, Chart.right)
    place_y = _scale(low, high, Chart.bottom, Chart.top)
    return Chart(
        x_ticks=[Tick(place_x(tick), compact(tick)) for tick in ticks(x[0], x[-1], 5) if x[0] <= tick <= x[-1]],
        y_ticks=[Tick(place_y(tick), compact(tick)) for tick in y_ticks],
        paths={
            "raw": _path(place_x(x[thin]), place_y(y[thin])),
            "smooth": _path(place_x(x[thin]), place_y(average[thin])),
        },
        rules=[Tick(place_y(rule[0]), rule[1])] if rule else [],
    )


def histogram(edges: Sequence[float], counts: dict[str, Sequence[int]], rule: tuple[float, str]) -> Chart:
    """Chart named counts over the same bins as steps closed to the ground; `rule` is a vertical line."""
    highest = max((max(row) for row in counts.values()), default=0) or 1
    y_ticks = [tick for tick in ticks(0.0, float(highest), 4) if tick == int(tick)]
    place_x = _scale(edges[0], edges[-1], Chart.left, Chart.right)
    place_y = _scale(0.0, max(y_ticks[-1], highest), Chart.bottom, Chart.top)
    x = np.repeat(place_x(np.asarray(edges)), 2)
    inside = edges[0] <= rule[0] <= edges[-1]
    return Chart(
        x_ticks=[Tick(place_x(tick), compact(tick)) for tick in ticks(edges[0], edges[-1], 5)],
        y_ticks=[Tick(place_y(tick), compact(tick)) for tick in y_ticks],
        paths={name: _path(x, place_y(np.array([0, *np.repeat(row, 2), 0]))) for name, row in counts.items()},
        rules=[Tick(place_x(rule[0]), rule[1])] if inside else [],
    )


def scatter(points: Sequence[Sequence[float]], labels: Sequence[int], classes: int) -> Scatter:
    """Place points within [-1, 1] on a square, by class."""
    place = _scale(-1.0, 1.0, SCATTER_MARGIN, SCATTER_SIZE - SCATTER_MARGIN)
    places = [(round(float(place(x)), 1), round(float(place(-y)), 1)) for x, y in points]
    groups: list[list[int]] = [[] for _ in range(classes)]
    for number, label in enumerate(labels):
        groups[label].append(number)
    return Scatter(places, groups)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return about `most` round numbers (1, 2 or 5 times a power of ten) that cover [low, high]."""
    span = high - low
    if span <= 0:
        span = abs(high) or 1.0
        low, high = low - span / 2, high + span / 2
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def compact(value: float) -> str:
    """Write a number for an axis: 0.25, 1,234, 40k, 1.5M, 1e-4."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-2:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    for limit, divisor, suffix in ((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (math.inf, 1e9, "G")):
        if size < limit:
            return f"{value / divisor:,.4g}{suffix}" if size < 1e3 or divisor > 1 else f"{value:,.0f}"
    raise AssertionError("every size is below infinity")


def _moving_average(values: np.ndarray, reach: int) -> np.ndarray:
    """Average over a centred window of 2 reach + 1 values, cut off at the ends."""
    window = np.ones(2 * reach + 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[Any], Any]:
    """Map [low, high] to [start, stop] linearly, for numbers and arrays alike."""
    factor = (stop - start) / ((high - low) or 1.0)
    return lambda value: start + (value - low) * factor


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
