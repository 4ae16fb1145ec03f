"""The frame being drawn: a backdrop seen through a moving camera, sprites stamped and plain shapes drawn on it."""

from math import ceil, cos, floor, radians, sin
from typing import NamedTuple

import cv2
import numpy as np

from .painting import Colour, Sprite

_CACHE_SIZE = 512


class View(NamedTuple):
    """The camera's view: the world's point in the middle of the frame, and the enlargement (1 = frame height)."""

    x: float
    y: float
    zoom: float


class _Turned(NamedTuple):
    """The turn, scale and place between pixels of a sprite, in steps too small to see."""

    sprite: int
    half_degrees: int
    scale_x: int
    scale_y: int
    phase_x: int
    phase_y: int
    pixels_per_unit: float


class Canvas:
    """An RGBA uint8 frame (alpha unused: four channels are what the rasteriser is fast at)."""

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self._scale, self._x, self._y = float(height), 0, 0
        self._enlarged: tuple[float, int, np.ndarray] | None = None
        # Swinging, spinning and resting things come back to the same turns: warping them anew is what would cost most.
        self._turned: dict[_Turned, tuple[np.ndarray, np.ndarray, int, int]] = {}

    def look(self, view: View) -> None:
        """Aim the camera for what is drawn next.

        It moves and zooms by whole pixels, so that backdrop and sprites move together and both can be kept.
        """
        self._scale = float(round(self.height * view.zoom))
        self._x = round(self.width / 2 - view.x * self._scale)
        self._y = round(self.height / 2 - view.y * self._scale)

    def backdrop(self, sprite: Sprite) -> None:
        """Cover the whole frame; the enlarged backdrop is kept while neither it nor the zoom changes."""
        left, top = floor(sprite.left * self._scale), floor(sprite.top * self._scale)
        if self._enlarged is None or self._enlarged[:2] != (self._scale, id(sprite)):
            ratio = self._scale / sprite.pixels_per_unit
            matrix = np.array([[ratio, 0, 0.5 * ratio - 0.5], [0, ratio, 0.5 * ratio - 0.5]])
            matrix[0, 2] += sprite.left * self._scale - left
            matrix[1, 2] += sprite.top * self._scale - top
            rows, columns = sprite.pixels.shape[:2]
            size = (ceil(columns * ratio), ceil(rows * ratio))
            warped = cv2.warpAffine(sprite.pixels, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            self._enlarged = (self._scale, id(sprite), warped)
        enlarged = self._enlarged[2]
        x = min(max(0, -self._x - left), enlarged.shape[1] - self.width)
        y = min(max(0, -self._y - top), enlarged.shape[0] - self.height)
        np.copyto(self.pixels, enlarged[y : y + self.height, x : x + self.width])

    def stamp(
        self,
        sprite: Sprite,
        x: float = 0.0,
        y: float = 0.0,
        *,
        angle_degrees: float = 0.0,
        scale: float = 1.0,
        stretch: float = 1.0,
        opacity: float = 1.0,
        glow: bool = False,
    ) -> None:
        """Draw a sprite with its own origin at (x, y), turned clockwise, `stretch` times as high as wide.

        `glow` adds light instead of covering what is behind. The canvas remembers sprites by identity: the caller keeps
        them while the canvas lives.
        """
        if opacity < 0.02:
            return
        place_x, place_y = x * self._scale + self._x, y * self._scale + self._y
        whole_x, whole_y = floor(place_x), floor(place_y)
        turned = _Turned(
            id(sprite),
            round(2 * angle_degrees) % 720,
            round(32 * scale),
            round(32 * scale * stretch),
            int(2 * (place_x - whole_x)),
            int(2 * (place_y - whole_y)),
            self._scale,
        )
        pixels, kept, left, top = self._turned.get(turned) or self._turn(sprite, turned)
        left, top = left + whole_x, top + whole_y
        rows, columns = pixels.shape[:2]
        x0, y0, x1, y1 = max(0, left), max(0, top), min(self.width, left + columns), min(self.height, top + rows)
        if x0 >= x1 or y0 >= y1:
            return
        window = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        pixels = pixels[window]
        if opacity < 0.996:
            pixels = cv2.convertScaleAbs(pixels, alpha=opacity)
        region = self.pixels[y0:y1, x0:x1]
        if not glow:
            kept = kept[window]
            if opacity < 0.996:
                kept = cv2.convertScaleAbs(kept, alpha=opacity, beta=255 * (1 - opacity))
            cv2.multiply(region, kept, dst=region, scale=1 / 255)
        cv2.add(region, pixels, dst=region)

    def fill(self, outlines: np.ndarray, colour: Colour) -> None:
        """Fill outlines of one colour, (points, 2) or (outlines, points, 2); where two overlap there is a hole."""
        cv2.fillPoly(self.pixels, self._fixed(outlines), _rgba(colour), cv2.LINE_AA, 4)

    def lines(self, lines: np.ndarray, colour: Colour, width: float = 0.0, *, closed: bool = False) -> None:
        """Draw lines of one colour and width, (points, 2) or (lines, points, 2), at least one pixel wide."""
        thickness = max(1, round(width * self._scale))
        cv2.polylines(self.pixels, self._fixed(lines), closed, _rgba(colour), thickness, cv2.LINE_AA, 4)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        centre = (round((x * self._scale + self._x - 0.5) * 16), round((y * self._scale + self._y - 0.5) * 16))
        cv2.circle(self.pixels, centre, max(8, round(radius * self._scale * 16)), _rgba(colour), -1, cv2.LINE_AA, 4)

    def lighten(self, amount: float) -> None:
        """Make the whole frame brighter (above 1) or darker (below 1)."""
        if abs(amount - 1) > 0.06:
            cv2.convertScaleAbs(self.pixels, dst=self.pixels, alpha=amount)

    def planar(self) -> bytes:
        """Return the frame as planar YUV 4:2:0 (BT.601, limited range), as the encoder wants it."""
        return cv2.cvtColor(self.pixels, cv2.COLOR_RGBA2YUV_I420).tobytes()

    def _turn(self, sprite: Sprite, turned: "_Turned") -> tuple[np.ndarray, np.ndarray, int, int]:
        """Turn and scale a sprite: its pixels, what shows through them, and its corner relative to its origin."""
        # sprite pixel -> sprite's own units -> stretched, turned, moved -> frame pixel; centres lie at +0.5.
        ratio = self._scale / sprite.pixels_per_unit
        cosine, sine = cos(radians(turned.half_degrees / 2)), sin(radians(turned.half_degrees / 2))
        scale_x, scale_y = ratio * turned.scale_x / 32, ratio * turned.scale_y / 32
        a, b, d, e = cosine * scale_x, -sine * scale_y, sine * scale_x, cosine * scale_y
        left, top = sprite.left * sprite.pixels_per_unit + 0.5, sprite.top * sprite.pixels_per_unit + 0.5
        c = a * left + b * top + turned.phase_x / 2 + 0.25 - 0.5
        f = d * left + e * top + turned.phase_y / 2 + 0.25 - 0.5
        rows, columns = sprite.pixels.shape[:2]
        across = (0.0, a * columns, b * rows, a * columns + b * rows)
        down = (0.0, d * columns, e * rows, d * columns + e * rows)
        x, y = floor(c + min(across)) - 1, floor(f + min(down)) - 1
        size = (max(1, ceil(c + max(across)) + 1 - x), max(1, ceil(f + max(down)) + 1 - y))
        pixels = cv2.warpAffine(sprite.pixels, np.array([[a, b, c - x], [d, e, f - y]]), size)
        covered = cv2.extractChannel(pixels, 3)
        bound_x, bound_y, columns, rows = cv2.boundingRect(covered)
        bounds = (slice(bound_y, bound_y + max(1, rows)), slice(bound_x, bound_x + max(1, columns)))
        x, y, pixels, kept = x + bound_x, y + bound_y, pixels[bounds], cv2.bitwise_not(covered[bounds])
        if len(self._turned) >= _CACHE_SIZE:
            self._turned.clear()
        self._turned[turned] = result = (pixels, cv2.merge((kept, kept, kept, kept)), x, y)
        return result

    def _fixed(self, points: np.ndarray) -> list[np.ndarray]:
        # Half a pixel between corner and middle, in sixteenths; another half of a sixteenth to round.
        moved = np.asarray(points) * (self._scale * 16) + (self._x * 16 - 7.5, self._y * 16 - 7.5)
        fixed = np.floor(moved, out=moved).astype(np.int32)
        return [fixed] if fixed.ndim == 2 else list(fixed)


def _rgba(colour: Colour) -> tuple[float, float, float, float]:
    red, green, blue = colour
    return float(red), float(green), float(blue), 255.0
