"""What a rendered scene is: a setting and one to three objects, each with a kind, a colour, a size and a column.

Needs NumPy alone. A scene's content is called its *type*; two renderings of one type differ in everything else.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np


class Size(enum.IntEnum):
    """The side of an object's box is about 22, 33 or 46 of the picture's 96 pixels."""

    SMALL = 0
    MEDIUM = 1
    LARGE = 2


class Column(enum.IntEnum):
    LEFT = 0
    MIDDLE = 1
    RIGHT = 2


COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
GROUND_KINDS = ("ball", "box", "house", "tree", "car", "boat", "mushroom", "flower", "umbrella", "cup", "chair")
AIR_KINDS = ("balloon", "kite", "star", "rocket")
KINDS = GROUND_KINDS + AIR_KINDS

# The kinds that one may meet on the ground of each setting; those of the air are met everywhere.
SETTINGS: dict[str, tuple[str, ...]] = {
    "meadow": ("ball", "box", "house", "tree", "car", "mushroom", "flower", "umbrella", "chair"),
    "beach": ("ball", "box", "house", "car", "boat", "flower", "umbrella", "cup", "chair"),
    "snow": ("ball", "box", "house", "tree", "car", "umbrella", "cup"),
    "night": ("ball", "box", "house", "tree", "car", "mushroom", "flower", "chair"),
    "room": ("ball", "box", "car", "flower", "umbrella", "cup", "chair"),
    "road": ("ball", "box", "house", "tree", "car", "umbrella", "chair"),
    "sea": ("ball", "box", "boat", "umbrella", "cup"),
    "mountains": ("house", "tree", "car", "mushroom", "flower", "boat", "chair"),
}
SETTING_NAMES = tuple(SETTINGS)

_MOST_OBJECTS = 3
_COUNT_PROBABILITIES = (0.40, 0.42, 0.18)  # of one, two and three objects
_AIR_SHARE = 0.28
_OBJECT_CODES = len(KINDS) * len(COLOURS) * len(Size) * len(Column)


@dataclasses.dataclass(frozen=True)
class SceneObject:
    kind: str
    colour: str
    size: Size
    column: Column

    @property
    def in_air(self) -> bool:
        """Whether it hangs in the upper half instead of standing on the ground."""
        return self.kind in AIR_KINDS

    @property
    def code(self) -> int:
        """A number below `_OBJECT_CODES`, another one for every other object."""
        digits = (KINDS.index(self.kind), COLOURS.index(self.colour), int(self.size), int(self.column))
        return int(np.ravel_multi_index(digits, (len(KINDS), len(COLOURS), len(Size), len(Column))))

    @classmethod
    def from_code(cls, code: int) -> SceneObject:
        """Returns the object whose `code` this is."""
        digits = np.unravel_index(code, (len(KINDS), len(COLOURS), len(Size), len(Column)))
        kind, colour, size, column = (int(digit) for digit in digits)
        return cls(KINDS[kind], COLOURS[colour], Size(size), Column(column))


@dataclasses.dataclass(frozen=True)
class SceneType:
    """What a scene shows: `objects[0]` is the largest; the rest are small and ordered from left to right."""

    setting: str
    objects: tuple[SceneObject, ...]

    @property
    def code(self) -> int:
        """An integer that is equal exactly for equal content; recorded as `truth/scene_type`."""
        code = 0
        for item in reversed(self.objects):
            code = code * (_OBJECT_CODES + 1) + item.code + 1
        return code * len(SETTINGS) + SETTING_NAMES.index(self.setting)

    @classmethod
    def from_code(cls, code: int) -> SceneType:
        """Returns the type whose `code` this is, so that a record's truth can be read back."""
        code, setting = divmod(code, len(SETTINGS))
        objects = []
        while code:
            code, digit = divmod(code, _OBJECT_CODES + 1)
            objects.append(SceneObject.from_code(digit - 1))
        return cls(SETTING_NAMES[setting], tuple(objects))


class Relation(enum.Enum):
    LEFT_OF = "left of"
    RIGHT_OF = "right of"
    ABOVE = "above"
    BELOW = "below"


def relation(first: SceneObject, second: SceneObject) -> Relation:
    """Returns where `first` is, seen from `second`: by column, or by height when they share one."""
    if first.column < second.column:
        return Relation.LEFT_OF
    if first.column > second.column:
        return Relation.RIGHT_OF
    return Relation.ABOVE if first.in_air else Relation.BELOW


def _choice(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def sample_type(rng: np.random.Generator) -> SceneType:
    """Draws a scene's content. No two objects share a kind or a place, so every description is unambiguous."""
    setting = _choice(rng, SETTING_NAMES)
    count = 1 + int(rng.choice(_MOST_OBJECTS, p=_COUNT_PROBABILITIES))
    objects: list[SceneObject] = []
    for place in range(count):
        family = AIR_KINDS if rng.random() < _AIR_SHARE else SETTINGS[setting]
        kinds = [kind for kind in family if kind not in {item.kind for item in objects}]
        kind = _choice(rng, kinds)
        level = [item.column for item in objects if item.in_air == (kind in AIR_KINDS)]
        columns = [column for column in Column if column not in level]
        size = Size.SMALL if place else (Size.MEDIUM, Size.LARGE)[int(rng.integers(2))]
        objects.append(SceneObject(kind, _choice(rng, COLOURS), size, columns[int(rng.integers(len(columns)))]))
    small = sorted(objects[1:], key=lambda item: (item.column, item.in_air))
    return SceneType(setting, (objects[0], *small))
