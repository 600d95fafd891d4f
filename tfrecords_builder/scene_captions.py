"""What five people would write about a scene: each has a habit, and all share a vocabulary with rare synonyms."""

from __future__ import annotations

import numpy as np

from tfrecords_builder.scene_world import Column, Relation, SceneObject, SceneType, Size, relation

MOST_WORDS = 20
_RARE = 0.08  # how often a rare synonym replaces the usual word

# usual word -> rare synonym
SYNONYMS = {
    "ball": "sphere",
    "box": "crate",
    "house": "cottage",
    "car": "automobile",
    "boat": "ship",
    "mushroom": "toadstool",
    "flower": "blossom",
    "umbrella": "parasol",
    "cup": "mug",
    "chair": "seat",
    "rocket": "spaceship",
    "purple": "violet",
    "pink": "rosy",
}

_Phrases = tuple[str, ...]  # the usual phrase first

# setting -> where a thing stands (at most three words), where it hangs, and the place described at length
_PLACES: dict[str, tuple[_Phrases, _Phrases, _Phrases]] = {
    "meadow": (
        ("on the grass", "in the grass", "on a lawn"),
        ("above the grass", "over a lawn"),
        ("in a green meadow", "in a grassy field"),
    ),
    "beach": (
        ("on the sand", "by the sea", "on a beach"),
        ("above the sand", "over a beach"),
        ("on a sandy beach", "at the beach"),
    ),
    "snow": (
        ("in the snow", "on the snow"),
        ("above the snow", "in falling snow"),
        ("in a snowy field", "on a cold winter day"),
    ),
    "night": (
        ("at night", "in the dark"),
        ("at night", "in the dark"),
        ("under a dark night sky", "under the moon and stars"),
    ),
    "room": (
        ("on the floor", "in a room", "on wooden boards"),
        ("above the floor", "in a room"),
        ("in a room with a wooden floor", "inside a house"),
    ),
    "road": (
        ("on the road", "on a street", "in the street"),
        ("above the road", "over a street"),
        ("on a gray city street", "on a road in the city"),
    ),
    "sea": (
        ("on the water", "in the water", "at sea"),
        ("above the water", "over the sea"),
        ("out at sea", "on the blue ocean"),
    ),
    "mountains": (
        ("near the mountains", "by some mountains", "near some hills"),
        ("near the mountains", "by some mountains"),
        ("in front of the mountains", "in a rocky valley"),
    ),
}
_VERBS: dict[str, _Phrases] = {
    "ball": ("lying", "resting"),
    "box": ("sitting", "standing"),
    "house": ("standing", "built"),
    "tree": ("growing", "standing"),
    "car": ("parked", "standing"),
    "boat": ("resting", "sailing"),
    "mushroom": ("growing", "standing"),
    "flower": ("growing", "blooming"),
    "umbrella": ("standing", "lying"),
    "cup": ("standing", "sitting"),
    "chair": ("standing", "placed"),
    "rocket": ("flying", "rising"),
    "balloon": ("floating", "hanging"),
    "kite": ("flying", "floating"),
    "star": ("hanging", "shining"),
}
_SIDES: dict[Column, _Phrases] = {
    Column.LEFT: ("on the left", "on the left side"),
    Column.MIDDLE: ("in the middle", "in the center"),
    Column.RIGHT: ("on the right", "on the right side"),
}
_RELATIONS: dict[Relation, _Phrases] = {
    Relation.LEFT_OF: ("to the left of", "left of", "beside"),
    Relation.RIGHT_OF: ("to the right of", "right of", "beside"),
    Relation.ABOVE: ("above", "over"),
    Relation.BELOW: ("below", "under"),
}
_ASIDE = {
    Relation.LEFT_OF: "to its left",
    Relation.RIGHT_OF: "to its right",
    Relation.ABOVE: "above it",
    Relation.BELOW: "below it",
}
_SIZES: dict[Size, _Phrases] = {
    Size.SMALL: ("small", "little"),
    Size.MEDIUM: ("",),
    Size.LARGE: ("big", "large", "huge"),
}


class _Writer:
    """One person writing one caption about one scene."""

    def __init__(self, scene: SceneType, rng: np.random.Generator) -> None:
        self.rng = rng
        self.main, self.others = scene.objects[0], scene.objects[1:]
        self._stands, self._hangs, self._long_places = _PLACES[scene.setting]

    def one_of(self, phrases: _Phrases, usual: float = 0.55) -> str:
        """Returns the first phrase in a `usual` share of the calls, else any other."""
        if len(phrases) == 1 or self.rng.random() < usual:
            return phrases[0]
        return phrases[1 + int(self.rng.integers(len(phrases) - 1))]

    def word(self, usual: str) -> str:
        """Returns the word, or now and then its synonym."""
        return self.one_of((usual, SYNONYMS[usual]), 1 - _RARE) if usual in SYNONYMS else usual

    def name(self, item: SceneObject, sized: bool = False, coloured: bool = True) -> str:
        """Returns the object with its article: "an orange ball", or "a big orange ball" if `sized`."""
        size = self.one_of(_SIZES[item.size]) if sized else ""
        colour = self.word(item.colour) if coloured else ""
        words = [word for word in (size, colour, self.word(item.kind)) if word]
        article = "an" if words[0][0] in "aeiou" else "a"
        return " ".join([article, *words])

    def place(self, item: SceneObject) -> str:
        """Returns where an object is, in at most three words."""
        return self.one_of(self._hangs if item.in_air else self._stands)

    def long_place(self) -> str:
        """Returns the setting in a few more words."""
        return self.one_of(self._long_places)

    def terse(self) -> str:
        """Names the main object and where it is."""
        return f"{self.name(self.main)} {self.place(self.main)}"

    def listing(self) -> str:
        """Lists everything there is."""
        if not self.others:
            return f"{self.name(self.main, sized=True)} {self.long_place()}"
        names = [self.name(item) for item in (self.main, *self.others)]
        return f"{', '.join(names[:-1])} and {names[-1]} {self.place(self.others[-1])}"

    def detailed(self) -> str:
        """Says how the objects lie to each other, or where the only one lies."""
        if not self.others:
            side = self.one_of(_SIDES[self.main.column])
            return f"{self.name(self.main, sized=True)} {self.place(self.main)} {side} of the picture"
        if len(self.others) == 1:
            (other,) = self.others
            lies = self.one_of(_RELATIONS[relation(self.main, other)])
            return f"{self.name(self.main, sized=True)} {lies} {self.name(other, sized=True)} {self.place(other)}"
        asides = [f"{self.name(item)} {_ASIDE[relation(item, self.main)]}" for item in self.others]
        return f"{self.name(self.main)} {self.place(self.main)} with {' and '.join(asides)}"

    def place_first(self) -> str:
        """Begins with the setting."""
        start = f"{self.long_place()} {self.one_of(('there is', 'we see', 'i see'), 0.7)} {self.name(self.main)}"
        if not self.others:
            return start
        nearest = self.others[0]
        beside = nearest.in_air == self.main.in_air
        joint = self.one_of(("next to", "near", "beside") if beside else ("and", "with", "together with"))
        return f"{start} {joint} {self.name(nearest, sized=not beside)}"

    def casual(self) -> str:
        """Speaks of the main object alone and of what it does, at times without its colour."""
        opening = self.one_of(("", "there is ", "a picture of ", "i can see "), 0.7)
        coloured = self.rng.random() < 0.75
        name = self.name(self.main, sized=not coloured or self.rng.random() < 0.5, coloured=coloured)
        return f"{opening}{name} {self.one_of(_VERBS[self.main.kind])} {self.place(self.main)}"


_HABITS = (_Writer.terse, _Writer.listing, _Writer.detailed, _Writer.place_first, _Writer.casual)


def write_captions(scene: SceneType, rng: np.random.Generator) -> tuple[str, ...]:
    """Returns five captions, one from each habit, in random order: lower case, at most 20 words, a full stop last."""
    writer = _Writer(scene, rng)
    captions = [habit(writer) + "." for habit in _HABITS]
    return tuple(captions[place] for place in rng.permutation(len(captions)))
