"""A data set of a few small images, made by the test that builds it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tfcap.registry import DATASETS
from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder, tfds
from tfrecords_builder.features import Example


def encoded(seed: int = 0, size: tuple[int, int] = (24, 16), mode: str = "RGB", form: str = "JPEG", **options) -> bytes:
    """Returns noise as an encoded image; size is (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def example(number: int, **changes) -> Example:
    values = {
        "image_id": number,
        "filename": f"{number}.jpg",
        "image": encoded(number),
        "captions": [f"caption {number} a", f"caption {number} b"],
        "caption_ids": [10 * number, 10 * number + 1],
    }
    return Example(**{**values, **changes})


class Toy(CaptionsBuilder):
    """Noise."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}
    contents: dict[str, list[Example]] = {}
    extras: tuple[str, ...] = ()
    built = 0

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        return "plain"

    @classmethod
    def extra_features(cls):
        return cls.extras

    def splits(self, data: DataSettings):
        type(self).built += 1
        return {split: iter(examples) for split, examples in self.contents.items()}


def register() -> None:
    DATASETS._targets["toy"] = "tests.tfrecords_builder.toy:Toy"
