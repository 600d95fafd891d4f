"""The embedded data set of classes: one object a picture, of ten kinds, rendered here."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example
from tfrecords_builder.scene_drawing import render
from tfrecords_builder.scene_plan import JPEG_QUALITY, SPLITS, generator, split_sizes
from tfrecords_builder.scene_world import COLOURS, SETTINGS, Column, SceneObject, SceneType, Size
from tfrecords_builder.scenes import Scenes

CLASSES = ("ball", "boat", "box", "car", "chair", "cup", "flower", "house", "tree", "umbrella")
_SIDE = 32
_PURPOSE = 5  # of the generators, beside those of scenes


class Objects(CaptionsBuilder):
    """Pictures of 32 x 32 pixels of one object; the one caption of each is its kind, and truth/label the kind's number.

    Kinds are numbered in the order of the alphabet, from ball, 0, to umbrella, 9. Colour, size, place and setting are
    drawn, and say nothing of the kind but where it is ever met. The classes are of one size in each split, up to one
    picture.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    OPTIONS = ("scenes_size", "scenes_seed")
    LICENCE = Scenes.LICENCE

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        return f"n{data.scenes_size}-s{data.scenes_seed}"

    @classmethod
    def config_description(cls, data: DataSettings) -> str:
        return f"{data.scenes_size:,} pictures from seed {data.scenes_seed}, split 0.8/0.1/0.1."

    @classmethod
    def extra_features(cls) -> Sequence[str]:
        return ("truth/label",)

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        self.totals.update(split_sizes(data.scenes_size))
        return {split: _examples(data, split) for split in SPLITS}


def _examples(data: DataSettings, split: str) -> Iterator[Example]:
    sizes, number = split_sizes(data.scenes_size), SPLITS.index(split)
    first = sum(sizes[name] for name in SPLITS[:number])
    for index in range(sizes[split]):
        label = index % len(CLASSES)
        rng = generator(data.scenes_seed, _PURPOSE, number, index)
        name, image_id = CLASSES[label], first + index
        picture = render(_drawn(name, rng), rng)
        yield Example(image_id, f"{image_id:06d}.jpg", _encoded(picture), [name], [image_id], {"truth/label": label})


def _drawn(kind: str, rng: np.random.Generator) -> SceneType:
    """Returns a scene of one large or middling object of the kind, in a setting where it is met."""
    settings = [setting for setting, kinds in SETTINGS.items() if kind in kinds]
    setting, colour = settings[rng.integers(len(settings))], COLOURS[rng.integers(len(COLOURS))]
    size = (Size.MEDIUM, Size.LARGE)[rng.integers(2)]
    return SceneType(setting, (SceneObject(kind, colour, size, Column(int(rng.integers(len(Column))))),))


def _encoded(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    smaller = Image.fromarray(picture).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    smaller.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
