"""How each kind of object is drawn: flat polygons in the square [-1, 1] x [-1, 1], y down, feet at y = 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

SCALE = 3  # everything is drawn at three times its size and averaged down, which smooths the edges

PAINTS: dict[str, Colour] = {
    "red": (214, 32, 34),
    "orange": (245, 130, 20),
    "yellow": (248, 216, 40),
    "green": (40, 160, 60),
    "blue": (38, 84, 214),
    "purple": (128, 46, 168),
    "pink": (250, 130, 180),
    "white": (246, 246, 244),
}
_WOOD = (112, 76, 46)
_DARK = (44, 44, 50)
_GLASS = (176, 214, 232)


class Pen:
    """Draws on a transparent square layer through a rotation, a stretch and, for some, a mirror."""

    def __init__(self, side: int, paint: Colour, rng: np.random.Generator) -> None:
        """Takes the object's `side` in final pixels and its main colour; the layer is a quarter larger."""
        self.layer = Image.new("RGBA", (int(side * 1.25) * SCALE,) * 2, (*paint, 0))
        self._draw = ImageDraw.Draw(self.layer)
        self._half = side * SCALE / 2
        self._centre = self.layer.width / 2 + rng.uniform(-0.5, 0.5) * SCALE
        angle = math.radians(rng.normal(0, 5))
        self._cos, self._sin = math.cos(angle), math.sin(angle)
        self._mirror = 1.0 if rng.random() < 0.5 else -1.0
        self._stretch = rng.uniform(0.92, 1.05), rng.uniform(0.92, 1.05)
        self.paint = paint
        self.shade = _mixed(paint, (0, 0, 0), 0.28)
        self.light = _mixed(paint, (255, 255, 255), 0.55)
        self._outline = _mixed(paint, (0, 0, 0), 0.58)

    def _place(self, x: float, y: float) -> Point:
        x, y = x * self._mirror * self._stretch[0], y * self._stretch[1]
        turned = x * self._cos - y * self._sin, x * self._sin + y * self._cos
        return self._centre + turned[0] * self._half, self._centre + turned[1] * self._half

    def polygon(self, points: Sequence[Point], fill: Colour, outline: bool = True) -> None:
        """Fills a polygon; the outline is a darker line about half a final pixel wide."""
        placed = [self._place(*point) for point in points]
        self._draw.polygon(placed, fill=(*fill, 255))
        if outline:
            self._draw.line([*placed, placed[0]], fill=(*self._outline, 255), width=2)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour, outline: bool = True) -> None:
        """Fills a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, outline)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, outline: bool = True) -> None:
        """Fills an ellipse around (x, y)."""
        self.arc(x, y, rx, ry, 0, 360, fill, outline)

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, fill: Colour, outline: bool = True
    ) -> None:
        """Fills the part of an ellipse between two angles in degrees, clockwise from the right."""
        angles = [math.radians(start + (end - start) * step / 28) for step in range(29)]
        self.polygon([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles], fill, outline)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        """Draws a line, `width` in the square's units."""
        thickness = max(2, int(width * self._half))
        self._draw.line([self._place(*p) for p in points], fill=(*fill, 255), width=thickness, joint="curve")


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _ball(pen: Pen) -> None:
    pen.ellipse(0, 0.05, 0.95, 0.95, pen.paint)
    pen.arc(0, 0.05, 0.95, 0.3, 0, 180, pen.shade, outline=False)
    pen.ellipse(-0.35, -0.4, 0.2, 0.16, pen.light, outline=False)


def _box(pen: Pen) -> None:
    pen.box(-0.95, -0.45, 0.45, 1, pen.paint)
    pen.polygon([(-0.95, -0.45), (-0.45, -0.9), (0.95, -0.9), (0.45, -0.45)], pen.light)
    pen.polygon([(0.45, -0.45), (0.95, -0.9), (0.95, 0.5), (0.45, 1)], pen.shade)
    pen.line([(-0.25, -0.45), (-0.25, 1)], pen.shade, 0.12)


def _house(pen: Pen) -> None:
    pen.box(-0.8, -0.15, 0.8, 1, pen.paint)
    pen.polygon([(-1, -0.1), (0, -1), (1, -0.1)], pen.shade)
    pen.box(-0.15, 0.4, 0.2, 1, _WOOD)
    pen.box(-0.62, 0.15, -0.3, 0.48, _GLASS)
    pen.box(0.38, 0.15, 0.66, 0.48, _GLASS)


def _tree(pen: Pen) -> None:
    pen.box(-0.14, 0.2, 0.14, 1, _WOOD)
    for top, bottom, width in ((-0.1, 0.62, 0.85), (-0.55, 0.2, 0.68), (-1, -0.25, 0.48)):
        pen.polygon([(-width, bottom), (0, top), (width, bottom)], pen.paint)
        pen.polygon([(width * 0.3, bottom), (0, top), (width, bottom)], pen.shade, outline=False)


def _car(pen: Pen) -> None:
    pen.polygon([(-0.6, 0.2), (-0.38, -0.3), (0.3, -0.3), (0.62, 0.2)], pen.paint)
    pen.polygon([(-0.42, 0.14), (-0.27, -0.16), (-0.05, -0.16), (-0.05, 0.14)], _GLASS)
    pen.polygon([(0.05, 0.14), (0.05, -0.16), (0.22, -0.16), (0.42, 0.14)], _GLASS)
    pen.polygon([(-1, 0.3), (-0.9, 0.15), (0.75, 0.15), (1, 0.35), (1, 0.78), (-1, 0.78)], pen.paint)
    pen.box(-1, 0.62, 1, 0.78, pen.shade, outline=False)
    for x in (-0.55, 0.55):
        pen.ellipse(x, 0.76, 0.25, 0.25, _DARK)
        pen.ellipse(x, 0.76, 0.1, 0.1, (170, 170, 176), outline=False)


def _boat(pen: Pen) -> None:
    pen.line([(-0.05, -1), (-0.05, 0.5)], _WOOD, 0.09)
    pen.polygon([(0.06, -0.95), (0.75, 0.3), (0.06, 0.3)], pen.light)
    pen.polygon([(-0.17, -0.75), (-0.17, 0.3), (-0.68, 0.3)], pen.light)
    pen.polygon([(-1, 0.42), (1, 0.42), (0.65, 1), (-0.7, 1)], pen.paint)
    pen.polygon([(-0.85, 0.7), (0.83, 0.7), (0.65, 1), (-0.7, 1)], pen.shade, outline=False)


def _mushroom(pen: Pen) -> None:
    pen.polygon([(-0.26, -0.05), (0.26, -0.05), (0.36, 1), (-0.36, 1)], (238, 226, 204))
    pen.arc(0, 0.1, 1, 1.05, 180, 360, pen.paint)
    for x, y, radius in ((-0.5, -0.2, 0.15), (0.05, -0.55, 0.17), (0.5, -0.15, 0.14)):
        pen.ellipse(x, y, radius, radius, (250, 246, 236) if sum(pen.paint) < 700 else (190, 180, 170), outline=False)


def _flower(pen: Pen) -> None:
    pen.line([(0, -0.2), (0.05, 1)], (44, 120, 44), 0.13)
    pen.ellipse(0.32, 0.62, 0.3, 0.12, (56, 140, 52))
    pen.ellipse(-0.26, 0.74, 0.28, 0.11, (56, 140, 52))
    for petal in range(6):
        angle = petal * math.pi / 3 + 0.3
        pen.ellipse(0.42 * math.cos(angle), -0.32 + 0.42 * math.sin(angle), 0.29, 0.29, pen.paint)
    pen.ellipse(0, -0.32, 0.22, 0.22, (120, 80, 30))


def _umbrella(pen: Pen) -> None:
    pen.line([(0, -1), (0, 0.86), (0.08, 0.97), (0.24, 0.97), (0.3, 0.82)], _DARK, 0.1)
    pen.arc(0, 0.12, 1, 0.98, 180, 360, pen.paint)
    pen.arc(0, 0.12, 0.36, 0.98, 180, 360, pen.light)
    for x in (-0.68, 0, 0.68):
        pen.arc(x, 0.12, 0.32, 0.16, 180, 360, pen.shade, outline=False)


def _balloon(pen: Pen) -> None:
    pen.line([(0, 0.45), (0.1, 0.65), (-0.06, 0.82), (0.04, 1)], _DARK, 0.06)
    pen.polygon([(0, 0.32), (0.16, 0.55), (-0.16, 0.55)], pen.shade)
    pen.ellipse(0, -0.3, 0.62, 0.7, pen.paint)
    pen.ellipse(-0.24, -0.58, 0.13, 0.17, pen.light, outline=False)


def _kite(pen: Pen) -> None:
    pen.line([(0, 0.5), (-0.18, 0.68), (0.12, 0.82), (-0.1, 1)], _DARK, 0.07)
    pen.polygon([(0, -1), (0.72, -0.35), (0, 0.55), (-0.72, -0.35)], pen.paint)
    pen.polygon([(0, -1), (0.72, -0.35), (0, -0.35)], pen.light)
    pen.polygon([(0, -0.35), (0, 0.55), (-0.72, -0.35)], pen.shade)
    for x, y in ((-0.14, 0.7), (0.06, 0.88)):
        pen.polygon([(x - 0.16, y - 0.1), (x + 0.16, y + 0.1), (x + 0.16, y - 0.1), (x - 0.16, y + 0.1)], pen.paint)


def _star(pen: Pen) -> None:
    spokes = [(1.0 if step % 2 == 0 else 0.45, math.pi * (step / 5 - 0.5)) for step in range(10)]
    tips = [(radius * math.cos(angle), 0.06 + radius * math.sin(angle)) for radius, angle in spokes]
    pen.polygon(tips, pen.paint)
    for step in range(0, 10, 2):
        pen.polygon([(0, 0.06), tips[step], tips[(step + 1) % 10]], pen.shade, outline=False)


def _cup(pen: Pen) -> None:
    pen.ellipse(0.66, 0.15, 0.34, 0.4, pen.shade)
    pen.ellipse(0.66, 0.15, 0.18, 0.23, pen.light)
    pen.polygon([(-0.85, -0.5), (0.65, -0.5), (0.5, 1), (-0.7, 1)], pen.paint)
    pen.polygon([(0.3, -0.5), (0.65, -0.5), (0.5, 1), (0.22, 1)], pen.shade, outline=False)
    pen.ellipse(-0.1, -0.5, 0.75, 0.2, pen.light)
    pen.ellipse(-0.1, -0.46, 0.6, 0.13, (84, 52, 34), outline=False)


def _chair(pen: Pen) -> None:
    for x, top, bottom in ((-0.34, 0.2, 0.8), (0.72, 0.2, 0.8), (-0.66, 0.2, 1), (0.42, 0.2, 1)):
        pen.box(x - 0.08, top, x + 0.08, bottom, pen.shade)
    pen.box(-0.76, -1, -0.56, 0.3, pen.shade)
    pen.polygon([(-0.7, -1), (-0.26, -0.94), (-0.26, 0.1), (-0.7, 0.2)], pen.paint)
    pen.polygon([(-0.76, 0.3), (-0.3, 0.02), (0.82, 0.02), (0.5, 0.3)], pen.paint)
    pen.box(-0.76, 0.3, 0.5, 0.44, pen.shade)


def _rocket(pen: Pen) -> None:
    pen.polygon([(-0.2, 0.6), (0.2, 0.6), (0, 1)], (250, 190, 60), outline=False)
    pen.polygon([(-0.32, 0.1), (-0.68, 0.72), (-0.3, 0.6)], pen.shade)
    pen.polygon([(0.32, 0.1), (0.68, 0.72), (0.3, 0.6)], pen.shade)
    right = [(0.24, -0.66), (0.34, -0.2), (0.28, 0.62)]
    pen.polygon([(0, -1), *right, *((-x, y) for x, y in reversed(right))], pen.paint)
    pen.polygon([(0, -1), (0.24, -0.66), (-0.24, -0.66)], pen.shade)
    pen.ellipse(0, -0.22, 0.18, 0.18, _GLASS)


_SPRITES: dict[str, Callable[[Pen], None]] = {
    "ball": _ball,
    "box": _box,
    "house": _house,
    "tree": _tree,
    "car": _car,
    "boat": _boat,
    "mushroom": _mushroom,
    "flower": _flower,
    "umbrella": _umbrella,
    "cup": _cup,
    "chair": _chair,
    "rocket": _rocket,
    "balloon": _balloon,
    "kite": _kite,
    "star": _star,
}


def draw_sprite(kind: str, colour: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """Returns an object about `side` pixels large: float32 [1.25 side, 1.25 side, RGBA] in 0..255."""
    red, green, blue = np.clip(PAINTS[colour] + rng.normal(0, 7, 3), 0, 255).astype(int).tolist()
    pen = Pen(side, (red, green, blue), rng)
    _SPRITES[kind](pen)
    return np.asarray(pen.layer.reduce(SCALE), np.float32)
