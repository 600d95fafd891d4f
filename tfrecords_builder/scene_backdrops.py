"""What lies behind and around the objects: a sky, a ground and the things that make a setting recognisable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from tfrecords_builder.scene_sprites import SCALE, Colour

SIDE = 96  # pixels of the finished picture
_LARGE = SIDE * SCALE


class _Canvas:
    """The enlarged picture while a backdrop is drawn on it."""

    def __init__(self, picture: Image.Image, horizon: int, rng: np.random.Generator) -> None:
        self.draw = ImageDraw.Draw(picture, "RGBA")
        self.horizon = horizon  # enlarged pixels from the top
        self.rng = rng

    def places(self, count: int, top: int, bottom: int) -> np.ndarray:
        """Returns `count` points (x, y) between two heights: int64 [count, 2]."""
        return self.rng.integers((0, top), (_LARGE, max(top + 1, bottom)), (count, 2))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: tuple[int, ...]) -> None:
        """Fills an ellipse around (x, y)."""
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)

    def clouds(self, count: int, colour: tuple[int, ...]) -> None:
        """Draws clouds of three puffs each in the sky."""
        for x, y in self.places(count, 10, self.horizon - 40).tolist():
            for dx, dy, radius in ((-16, 3, 11), (0, -4, 15), (17, 2, 12)):
                self.ellipse(x + dx, y + dy, radius, 0.7 * radius, colour)

    def ridge(self, height: int, step: int, colour: tuple[int, ...], base: int | None = None) -> None:
        """Draws a jagged line of hills that stand on the horizon (or on `base`)."""
        base = self.horizon if base is None else base
        xs = range(-step, _LARGE + 2 * step, step)
        tops = [(x + int(self.rng.integers(step // 2)), base - int(self.rng.integers(height // 3, height))) for x in xs]
        self.draw.polygon([(-step, base), *tops, (_LARGE + step, base)], fill=colour)

    def specks(
        self, count: int, top: int, colour: tuple[int, ...], width: int, height: int, bottom: int = _LARGE
    ) -> None:
        """Scatters flat ellipses: pebbles, shells, stars, flakes."""
        for x, y in self.places(count, top, bottom).tolist():
            w, h = width * self.rng.uniform(0.5, 1.2), height * self.rng.uniform(0.5, 1.2)
            self.ellipse(x, y, w, h, colour)

    def strokes(self, count: int, top: int, colour: tuple[int, ...], dx: int, dy: int, bottom: int = _LARGE) -> None:
        """Scatters short lines: blades of grass, ripples, scratches."""
        for x, y in self.places(count, top, bottom).tolist():
            self.draw.line((x, y, x + dx + int(self.rng.integers(-4, 5)), y - dy), fill=colour, width=2)


def _meadow(canvas: _Canvas) -> None:
    canvas.clouds(2, (255, 255, 255, 170))
    canvas.ridge(34, 60, (92, 150, 96, 255))
    canvas.strokes(70, canvas.horizon + 10, (44, 110, 40, 200), 0, 14)
    canvas.strokes(40, canvas.horizon + 10, (150, 196, 90, 200), 2, 11)
    canvas.specks(8, canvas.horizon + 20, (246, 240, 200, 220), 3, 3)


def _beach(canvas: _Canvas) -> None:
    shore = canvas.horizon + int(canvas.rng.integers(22, 36))
    canvas.draw.rectangle((0, canvas.horizon, _LARGE, shore), fill=(44, 134, 178, 255))
    canvas.strokes(14, canvas.horizon + 4, (190, 226, 236, 200), 22, 0, shore - 4)
    foam = [(x, shore + int(canvas.rng.integers(-4, 5))) for x in range(0, _LARGE + 24, 24)]
    canvas.draw.line(foam, fill=(244, 250, 250, 230), width=6)
    canvas.specks(26, shore + 14, (176, 144, 98, 220), 4, 3)
    canvas.specks(6, shore + 14, (250, 240, 226, 230), 5, 4)


def _snow(canvas: _Canvas) -> None:
    canvas.ridge(40, 90, (206, 218, 232, 255))
    canvas.strokes(16, canvas.horizon + 14, (190, 204, 226, 160), 40, 2)
    canvas.specks(60, 0, (255, 255, 255, 230), 4, 4)


def _night(canvas: _Canvas) -> None:
    canvas.specks(46, 0, (236, 236, 214, 230), 2, 2, canvas.horizon)
    x, y = int(canvas.rng.integers(20, _LARGE - 20)), int(canvas.rng.integers(20, 60))
    canvas.ellipse(x, y, 15, 15, (226, 224, 200, 255))
    canvas.ellipse(x + 6, y - 4, 14, 14, (16, 20, 52, 255))
    canvas.ridge(26, 50, (10, 14, 30, 255))
    canvas.strokes(30, canvas.horizon + 12, (14, 26, 34, 220), 1, 9)


def _room(canvas: _Canvas) -> None:
    phase = int(canvas.rng.integers(36))
    for x in range(phase, _LARGE, 36):
        canvas.draw.rectangle((x, 0, x + 12, canvas.horizon), fill=(196, 178, 150, 110))
    canvas.draw.rectangle((0, canvas.horizon - 9, _LARGE, canvas.horizon), fill=(240, 232, 220, 255))
    for x in range(phase - 8 * 40, _LARGE + 8 * 40, 40):  # boards run towards a vanishing point
        far = _LARGE // 2 + (x - _LARGE // 2) // 3
        canvas.draw.line((far, canvas.horizon, x, _LARGE), fill=(92, 58, 34, 190), width=2)
    if canvas.rng.random() < 0.6:  # a picture on the wall
        x, y = int(canvas.rng.integers(10, _LARGE - 70)), int(canvas.rng.integers(14, 50))
        canvas.draw.rectangle((x, y, x + 54, y + 40), fill=(150, 166, 160, 255), outline=(90, 66, 44, 255), width=4)


def _road(canvas: _Canvas) -> None:
    canvas.clouds(1, (244, 244, 246, 150))
    for x in range(-20, _LARGE, 44):  # a skyline
        height = int(canvas.rng.integers(14, 62))
        canvas.draw.rectangle((x, canvas.horizon - height, x + 38, canvas.horizon), fill=(150, 154, 164, 255))
    canvas.draw.rectangle((0, canvas.horizon, _LARGE, canvas.horizon + 9), fill=(176, 172, 164, 255))
    y = canvas.horizon + int(canvas.rng.integers(54, 84))
    for x in range(int(canvas.rng.integers(-50, 0)), _LARGE, 72):
        canvas.draw.rectangle((x, y, x + 42, y + 7), fill=(226, 222, 200, 240))
    canvas.specks(24, canvas.horizon + 14, (58, 58, 62, 200), 4, 2)


def _sea(canvas: _Canvas) -> None:
    canvas.clouds(2, (255, 255, 255, 190))
    canvas.strokes(44, canvas.horizon + 6, (150, 202, 226, 200), 26, 0)
    canvas.strokes(30, canvas.horizon + 6, (18, 72, 130, 200), 30, 0)


def _mountains(canvas: _Canvas) -> None:
    base = canvas.horizon
    for centre in range(0, _LARGE + 60, 88):
        x, height = centre + int(canvas.rng.integers(-20, 20)), int(canvas.rng.integers(84, 140))
        peak = base - height
        canvas.draw.polygon([(x - 74, base), (x, peak), (x + 74, base)], fill=(112, 108, 124, 255))
        canvas.draw.polygon([(x + 74, base), (x, peak), (x + 14, base)], fill=(84, 80, 98, 255))
        cap = [(x - 17, peak + 32), (x, peak), (x + 17, peak + 32), (x, peak + 24)]
        canvas.draw.polygon(cap, fill=(244, 246, 250, 255))
    canvas.specks(30, base + 10, (96, 88, 74, 210), 6, 4)


@dataclasses.dataclass(frozen=True)
class _Backdrop:
    sky: tuple[Colour, Colour]  # top, horizon
    ground: tuple[Colour, Colour]  # horizon, bottom
    details: Callable[[_Canvas], None]
    grain: float = 9.0  # brightness levels of the ground's texture


_BACKDROPS = {
    "meadow": _Backdrop(((108, 174, 232), (204, 230, 244)), ((110, 170, 76), (70, 134, 48)), _meadow, 14),
    "beach": _Backdrop(((96, 184, 236), (214, 236, 242)), ((226, 200, 148), (208, 176, 118)), _beach, 10),
    "snow": _Backdrop(((144, 162, 192), (200, 210, 226)), ((234, 240, 248), (216, 226, 240)), _snow, 6),
    "night": _Backdrop(((10, 12, 40), (40, 46, 96)), ((30, 42, 48), (18, 26, 32)), _night, 6),
    "room": _Backdrop(((222, 204, 176), (212, 192, 164)), ((172, 118, 74), (142, 92, 54)), _room, 9),
    "road": _Backdrop(((170, 190, 206), (216, 220, 222)), ((108, 108, 112), (84, 84, 90)), _road, 10),
    "sea": _Backdrop(((112, 178, 230), (222, 232, 226)), ((46, 120, 178), (24, 80, 142)), _sea, 9),
    "mountains": _Backdrop(((150, 186, 222), (232, 226, 214)), ((142, 134, 106), (116, 106, 82)), _mountains, 13),
}


def smooth_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Returns noise in about [-1, 1] that varies over SIDE / `cells` pixels: float32 [SIDE, SIDE, 1]."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))[:, :, None]


def _gradient(ends: tuple[Colour, Colour], rows: int) -> np.ndarray:
    top, bottom = np.asarray(ends, np.float32)
    return top + (bottom - top) * np.linspace(0, 1, rows, dtype=np.float32)[:, None]  # [rows, 3]


def draw_backdrop(setting: str, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Returns the empty scene, float32 [SIDE, SIDE, 3] in about 0..255, and the row of its horizon."""
    backdrop = _BACKDROPS[setting]
    horizon = int(rng.integers(44, 56))
    rows = np.concatenate([_gradient(backdrop.sky, horizon), _gradient(backdrop.ground, SIDE - horizon)])
    rows += rng.normal(0, 5, 3)  # the light differs from picture to picture
    small = np.broadcast_to(np.clip(rows, 0, 255).astype(np.uint8)[:, None], (SIDE, 1, 3))
    large = Image.fromarray(np.ascontiguousarray(small)).resize((_LARGE, _LARGE), Image.Resampling.NEAREST)
    backdrop.details(_Canvas(large, horizon * SCALE, rng))
    pixels = np.array(large.reduce(SCALE), np.float32)
    texture = 0.6 * smooth_noise(rng, 9) + 0.4 * smooth_noise(rng, 32)
    pixels[:horizon] += 0.35 * backdrop.grain * texture[:horizon]
    pixels[horizon:] += backdrop.grain * texture[horizon:]
    return pixels, horizon
