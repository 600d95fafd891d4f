"""The record: one image with all its captions, the same for every data set.

Keys of the serialised tf.train.Example:

    image            bytes      encoded JPEG or PNG
    image/id         int64      unique in the data set, over all splits
    image/filename   bytes      as the source names it
    image/height     int64      of the stored image, before any EXIF rotation
    image/width      int64
    captions/text    bytes [n]  UTF-8, NFC, single spaces; n >= 1
    captions/id      int64 [n]
    truth/...        int64      what a rendered data set knows of its images
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow as tf  # isort: skip
import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True)
class Example:
    """What a source says of one image.

    Attributes:
      image_id: unique in the whole data set.
      filename: relative to the source; named in messages and in the record.
      image: the encoded image; None if the file that the source names cannot be read.
      captions: as the source has them; the builder cleans them.
      caption_ids: one for each caption.
      extras: a value for each key that the builder's `extra_features` declares.
    """

    image_id: int
    filename: str
    image: bytes | None
    captions: Sequence[str]
    caption_ids: Sequence[int]
    extras: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.captions) != len(self.caption_ids):
            raise ValueError(f"{self.filename}: {len(self.captions)} captions and {len(self.caption_ids)} caption ids")


def clean_caption(text: str) -> str:
    """Returns `text` in Unicode form NFC with every run of white space made one space; "" if nothing is left."""
    readable = text.encode("utf-8", errors="replace").decode()  # a lone surrogate cannot be stored
    return " ".join(unicodedata.normalize("NFC", readable).split())


def tfds_features(extras: Iterable[str] = ()) -> tfds.features.FeaturesDict:
    """Returns the record as TFDS writes it; `extras` are keys of further int64 scalars."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), doc="JPEG or PNG."),
            "image/id": np.int64,
            "image/filename": tfds.features.Text(),
            "image/height": np.int64,
            "image/width": np.int64,
            "captions/text": tfds.features.Sequence(tfds.features.Text()),
            "captions/id": tfds.features.Sequence(np.int64),
            **dict.fromkeys(extras, np.int64),
        }
    )


def parse_spec(with_image: bool = True, extras: Iterable[str] = ()) -> dict[str, object]:
    """Returns the `features` argument of `tf.io.parse_example` that reads the record.

    Args:
      with_image: False leaves out the encoded image, so that it is not copied.
      extras: further int64 keys; -1 where a record has none.
    """
    spec: dict[str, object] = {
        "image/id": tf.io.FixedLenFeature([], tf.int64),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "captions/text": tf.io.RaggedFeature(tf.string),
        "captions/id": tf.io.RaggedFeature(tf.int64),
    }
    spec.update({key: tf.io.FixedLenFeature([], tf.int64, default_value=-1) for key in extras})
    if with_image:
        spec["image"] = tf.io.FixedLenFeature([], tf.string)
    return spec
