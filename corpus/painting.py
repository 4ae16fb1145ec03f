"""Paint shaded, antialiased pictures once per clip; what moves is stamped from them by `canvas`.

Colours are RGB in 0..255: one colour, or several as the stops of a gradient. Lengths are world units: the height of
the frame is 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from .shapes import Points

OVERSAMPLING = 2
Colour = Sequence[float] | np.ndarray


class Sprite(NamedTuple):
    """A finished picture: premultiplied RGBA uint8 (height, width, 4), its top left corner and its resolution."""

    pixels: np.ndarray
    left: float
    top: float
    pixels_per_unit: float

    def mirrored(self) -> "Sprite":
        """Return the sprite as seen in a mirror: left and right of its origin exchanged."""
        width = self.pixels.shape[1] / self.pixels_per_unit
        return self._replace(pixels=np.ascontiguousarray(self.pixels[:, ::-1]), left=-self.left - width)


class Painting:
    """A transparent sheet to paint on, from (left, top) to (right, bottom)."""

    def __init__(self, extent: tuple[float, float, float, float], pixels_per_unit: float, rng: np.random.Generator):
        self.left, self.top, self.right, self.bottom = extent
        self.pixels_per_unit = pixels_per_unit
        self.rng = rng
        self.scale = pixels_per_unit * OVERSAMPLING
        rows = max(1, round((self.bottom - self.top) * pixels_per_unit)) * OVERSAMPLING
        columns = max(1, round((self.right - self.left) * pixels_per_unit)) * OVERSAMPLING
        self.pixels = np.zeros((rows, columns, 4), np.uint8)

    def fill(
        self,
        outline: Points,
        colour: Sequence[Any] | np.ndarray,
        *,
        angle_degrees: float = 90.0,
        centre: tuple[float, float] | None = None,
        soft: float = 0.0,
        opacity: float = 1.0,
        grain: float = 0.0,
        grain_size: float = 0.03,
    ) -> None:
        """Fill an outline with one colour or a gradient.

        A gradient runs over the outline's bounding box along `angle_degrees` (0 left to right, 90 downwards), or
        outwards from `centre`. `soft` blurs the edge (world units), `grain` varies the brightness by that share in
        patches of `grain_size`.
        """
        pixels = self._to_pixels(outline)
        stops = np.asarray(colour, np.float32)
        if stops.ndim == 1 and not soft and not grain and opacity == 1:
            cv2.fillPoly(self.pixels, [_fixed(pixels)], (*stops.tolist(), 255.0), cv2.LINE_AA, 4)
            return
        (x, y), (rows, columns) = self._region(pixels, 2 + 2 * soft * self.scale)
        if rows <= 0 or columns <= 0:
            return
        cover = self._cover(pixels - (x, y), (rows, columns), soft * self.scale, round(255 * opacity))
        if stops.ndim == 1:
            paint: np.ndarray = np.empty((rows, columns, 4), np.uint8)
            paint[:] = (*np.clip(stops, 0, 255).astype(np.uint8), 255)
        else:
            paint = self._gradient(stops, pixels, (x, y), (rows, columns), angle_degrees, centre)
        if grain:
            paint = cv2.multiply(paint, self._noise(rows, columns, grain, grain_size), scale=1 / 128)
            paint[..., 3] = 255
        region = self.pixels[y : y + rows, x : x + columns]
        kept = cv2.multiply(region, cv2.bitwise_not(cover), scale=1 / 255)
        cv2.add(kept, cv2.multiply(paint, cover, scale=1 / 255), dst=region)

    def stroke(self, line: Points, colour: Colour, width: float, *, closed: bool = False, opacity: float = 1.0) -> None:
        """Draw a line of one colour along the points."""
        pixels = self._to_pixels(line)
        thickness = max(1, round(width * self.scale))
        tone = (*(float(band) for band in colour), 255.0)
        if opacity == 1:
            cv2.polylines(self.pixels, [_fixed(pixels)], closed, tone, thickness, cv2.LINE_AA, 4)
            return
        (x, y), (rows, columns) = self._region(pixels, thickness + 2)
        if rows > 0 and columns > 0:
            region = self.pixels[y : y + rows, x : x + columns]
            drawn = region.copy()
            cv2.polylines(drawn, [_fixed(pixels - (x, y))], closed, tone, thickness, cv2.LINE_AA, 4)
            cv2.addWeighted(drawn, opacity, region, 1 - opacity, 0, dst=region)

    def sprite(self) -> Sprite:
        """Finish: the picture at its own resolution."""
        size = (self.pixels.shape[1] // OVERSAMPLING, self.pixels.shape[0] // OVERSAMPLING)
        small = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        return Sprite(small, self.left, self.top, self.pixels_per_unit)

    def _to_pixels(self, points: Points) -> np.ndarray:
        return (np.asarray(points, float) - (self.left, self.top)) * self.scale - 0.5

    def _region(self, pixels: np.ndarray, pad: float) -> tuple[tuple[int, int], tuple[int, int]]:
        left, top = pixels.min(axis=0).tolist()
        right, bottom = pixels.max(axis=0).tolist()
        x, y = max(0, int(left - pad)), max(0, int(top - pad))
        columns = min(self.pixels.shape[1], int(right + pad) + 2) - x
        rows = min(self.pixels.shape[0], int(bottom + pad) + 2) - y
        return (x, y), (rows, columns)

    def _cover(self, pixels: np.ndarray, shape: tuple[int, int], blur: float, opacity: int) -> np.ndarray:
        """Return how much of each pixel the outline covers, equal in all four bands, uint8."""
        if blur < 1:
            cover = np.zeros((*shape, 4), np.uint8)
            return cv2.fillPoly(cover, [_fixed(pixels)], (opacity,) * 4, cv2.LINE_AA, 4)
        mask: np.ndarray = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [_fixed(pixels)], opacity, cv2.LINE_AA, 4)
        # Two box blurs look like a Gaussian and cost the same for any width.
        side = 2 * round(blur / 2) + 1
        mask = cv2.blur(cv2.blur(mask, (side, side)), (side, side))
        return cv2.merge((mask, mask, mask, mask))

    def _gradient(
        self,
        stops: np.ndarray,
        pixels: np.ndarray,
        corner: tuple[int, int],
        shape: tuple[int, int],
        angle_degrees: float,
        centre: tuple[float, float] | None,
    ) -> np.ndarray:
        columns = np.arange(corner[0], corner[0] + shape[1], dtype=np.float32)[None, :]
        rows = np.arange(corner[1], corner[1] + shape[0], dtype=np.float32)[:, None]
        if centre is not None:
            x, y = (centre[0] - self.left) * self.scale, (centre[1] - self.top) * self.scale
            reach = np.sqrt(((pixels - (x, y)) ** 2).sum(axis=1).max())
            place = np.sqrt((columns - np.float32(x)) ** 2 + (rows - np.float32(y)) ** 2) * np.float32(255 / reach)
        else:
            direction = np.array([np.cos(np.radians(angle_degrees)), np.sin(np.radians(angle_degrees))])
            along = pixels @ direction
            slope = direction * (255 / (np.ptp(along) + 1e-6))
            start = float(along.min()) * 255 / (np.ptp(along) + 1e-6)
            place = (columns * np.float32(slope[0]) - np.float32(start)) + rows * np.float32(slope[1])
        ramp = np.full((256, 4), 255, np.uint8)
        table, knots = np.arange(256), np.linspace(0, 255, len(stops))
        for band in range(3):
            ramp[:, band] = np.clip(np.interp(table, knots, stops[:, band]), 0, 255)
        # One uint32 a pixel is looked up at once.
        return ramp.view(np.uint32)[:, 0][np.clip(place, 0, 255).astype(np.uint8)].view(np.uint8).reshape(*shape, 4)

    def _noise(self, rows: int, columns: int, amount: float, size: float) -> np.ndarray:
        """Return factors around 128 in smooth patches, equal in all four bands."""
        cell = max(1.0, size * self.scale)
        coarse = self.rng.standard_normal((int(rows / cell) + 2, int(columns / cell) + 2), dtype=np.float32)
        factors = np.clip(128 * (1 + amount * coarse), 0, 255).astype(np.uint8)
        fine: np.ndarray = cv2.resize(factors, (columns, rows), interpolation=cv2.INTER_LINEAR)
        return cv2.merge((fine, fine, fine, fine))


def _fixed(pixels: np.ndarray) -> np.ndarray:
    """Convert to the rasteriser's fixed point with four fractional bits."""
    return np.floor(pixels * 16 + 0.5).astype(np.int32)
