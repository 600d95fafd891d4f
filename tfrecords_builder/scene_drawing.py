"""Renders a scene: backdrop, shadows, objects from back to front, clutter in front, then light and grain.

Everything the captions never mention is drawn anew for each picture: places within a column, angles, mirroring,
hues, textures, clutter, light. Two pictures of one type are therefore near duplicates and never equal.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from tfrecords_builder.scene_backdrops import SIDE, draw_backdrop, smooth_noise
from tfrecords_builder.scene_sprites import SCALE, draw_sprite
from tfrecords_builder.scene_world import SceneObject, SceneType, Size

_SIDES = {Size.SMALL: 24, Size.MEDIUM: 34, Size.LARGE: 47}
_COLUMN_CENTRES = (18, 48, 78)

_ROWS, _COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)


def _place(item: SceneObject, side: int, horizon: int, rng: np.random.Generator) -> tuple[int, int]:
    """Returns the centre (x, y) of an object so that at most a sixth of it leaves the picture."""
    margin = side // 3
    x = int(np.clip(_COLUMN_CENTRES[item.column] + rng.integers(-5, 6), margin, SIDE - margin))
    if item.in_air:
        return x, side // 2 + int(rng.integers(0, 8))
    lowest = 92 if item.size == Size.SMALL else 90  # small things stand in front
    feet = int(rng.integers(max(horizon + 18, lowest - 12), lowest + 1))
    return x, feet - side // 2


def _cast_shadow(pixels: np.ndarray, x: int, feet: int, side: int, slant: float) -> None:
    distance = ((_COLUMNS - x - slant * side) / (0.5 * side)) ** 2 + ((_ROWS - feet + 1) / (0.13 * side)) ** 2
    pixels *= 1 - 0.45 * np.exp(-(distance**2))[:, :, None]


def _textured(sprite: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the sprite lit from one side, mottled and, at times, faintly striped."""
    side = sprite.shape[0]
    across = np.linspace(-1, 1, side, dtype=np.float32)
    light = 1 + rng.uniform(-0.12, 0.12) * across[None, :] - rng.uniform(0, 0.12) * across[:, None]
    light += 0.07 * smooth_noise(rng, 24)[:side, :side, 0]
    if rng.random() < 0.35:
        light += 0.05 * np.sign(np.sin(across * rng.uniform(9, 16) + rng.uniform(0, 6)))[:, None]
    sprite = sprite.copy()
    sprite[:, :, :3] *= light[:, :, None]
    return sprite


def _paste(pixels: np.ndarray, sprite: np.ndarray, x: int, y: int) -> None:
    """Blends `sprite` into `pixels` with its centre at (x, y); what leaves the picture is cut off."""
    side = sprite.shape[0]
    left, top = x - side // 2, y - side // 2
    rows = slice(max(top, 0), min(top + side, SIDE))
    columns = slice(max(left, 0), min(left + side, SIDE))
    part = sprite[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    alpha = part[:, :, 3:] / 255
    pixels[rows, columns] += alpha * (part[:, :, :3] - pixels[rows, columns])


def _clutter(pixels: np.ndarray, outdoors: bool, rng: np.random.Generator) -> None:
    """Draws what lies in front of everything: now and then tufts, a twig or a bird, and dust."""
    layer = Image.new("RGBA", (SIDE * SCALE, SIDE * SCALE), (60, 60, 50, 0))
    draw = ImageDraw.Draw(layer)
    if outdoors and rng.random() < 0.4:
        x = int(rng.integers(0, SIDE * SCALE))
        for _ in range(7):
            tip = x + int(rng.integers(-26, 27)), SIDE * SCALE - int(rng.integers(18, 48))
            draw.line((x, SIDE * SCALE, *tip), fill=(58, 72, 40, 255), width=4)
    if rng.random() < 0.25:
        ends = rng.integers(0, SIDE * SCALE, 4).tolist()
        draw.line(ends, fill=(70, 54, 40, 200), width=3)
    for _ in range(int(rng.integers(0, 3)) if outdoors else 0):
        x, y = int(rng.integers(20, 260)), int(rng.integers(12, 110))
        draw.line([(x - 10, y - 5), (x, y), (x + 10, y - 6)], fill=(50, 50, 56, 230), width=3)
    for _ in range(int(rng.integers(2, 9))):
        x, y, radius = (int(value) for value in rng.integers((0, 0, 2), (SIDE * SCALE, SIDE * SCALE, 6)))
        grey = int(rng.integers(40, 220))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(grey, grey, grey - 20, 200))
    _paste(pixels, np.asarray(layer.reduce(SCALE), np.float32), SIDE // 2, SIDE // 2)


def render(scene: SceneType, rng: np.random.Generator) -> np.ndarray:
    """Returns a picture of `scene`: uint8 [96, 96, 3]."""
    pixels, horizon = draw_backdrop(scene.setting, rng)
    slant = rng.uniform(-0.3, 0.3)
    for item in scene.objects:  # the main object first: small things stand in front of it
        side = round(_SIDES[item.size] * rng.uniform(0.92, 1.08))
        x, y = _place(item, side, horizon, rng)
        if not item.in_air:
            _cast_shadow(pixels, x, y + side // 2, side, slant)
        _paste(pixels, _textured(draw_sprite(item.kind, item.colour, side, rng), rng), x, y)
    _clutter(pixels, scene.setting != "room", rng)
    pixels *= rng.uniform(0.88, 1.1) + 0.06 * smooth_noise(rng, 3)
    pixels += rng.normal(0, 3.5, (SIDE, SIDE, 1))
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
