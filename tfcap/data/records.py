"""Reading a built data set: any record by position, without reading the others.

A TFRecord file has no index of its own; the builder writes one, so that a mask is applied before a
byte of an unwanted record is read, an epoch is a true permutation without a shuffle buffer, and a
resumed epoch starts in its middle at no cost.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow as tf  # isort: skip

from tfcap.data.caption_blocks import captions_of
from tfcap.data.record_index import RecordIndex
from tfrecords_builder.features import parse_spec

_PARSE_BLOCK = 512  # records parsed at a time when only their captions are wanted


@dataclasses.dataclass(frozen=True)
class Described:
    """What one record says, its pixels apart; height and width are of the stored image."""

    image_id: int
    filename: str
    height: int
    width: int
    captions: list[str]
    caption_ids: list[int]


class Records(RecordIndex):
    """The split's pictures, captions and known truths."""

    def picture(self, position: int) -> np.ndarray:
        """Returns the stored image, uint8 [H, W, 3]."""
        parsed = tf.io.parse_single_example(self.raw([position])[0], {"image": tf.io.FixedLenFeature([], tf.string)})
        return tf.io.decode_image(parsed["image"], channels=3, expand_animations=False).numpy()

    def _parsed(
        self, features: dict[str, object], positions: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[dict[str, tf.Tensor]]:
        """Yields the features of all records, or of those at `positions`, block by block."""
        wanted = range(len(self)) if positions is None else positions
        for start in range(0, len(wanted), _PARSE_BLOCK):
            block = self.raw(wanted[start : start + _PARSE_BLOCK])
            yield tf.io.parse_example(tf.constant(block, dtype=tf.string), features)

    @functools.cached_property
    def captions(self) -> list[list[str]]:
        """The captions of each image, in record order."""
        starts = range(0, len(self), _PARSE_BLOCK)
        blocks = (self.raw(range(start, min(start + _PARSE_BLOCK, len(self)))) for start in starts)
        return [texts for block in blocks for texts in captions_of(block)]

    @functools.cached_property
    def caption_ids(self) -> list[list[int]]:
        """The ids of each image's captions, in record order."""
        spec = {"captions/id": tf.io.RaggedFeature(tf.int64)}
        return [ids for block in self._parsed(spec) for ids in block["captions/id"].to_list()]

    def described(self, positions: Sequence[int] | np.ndarray) -> Iterator[Described]:
        """Yields what the records at `positions` say, in that order."""
        for block in self._parsed(parse_spec(with_image=False), positions):
            columns = [block[f"image/{name}"].numpy().tolist() for name in ("id", "filename", "height", "width")]
            columns += [block[f"captions/{name}"].to_list() for name in ("text", "id")]
            for image_id, filename, height, width, texts, ids in zip(*columns, strict=True):
                yield Described(image_id, filename.decode(), height, width, [text.decode() for text in texts], ids)

    def truth(self, name: str) -> np.ndarray | None:
        """Returns the known truth `name` (such as "noisy") as int64 [N], or None where the data set records none."""
        spec = {f"truth/{name}": tf.io.FixedLenFeature([], tf.int64, default_value=-1)}
        if next(self._parsed(spec, [0]))[f"truth/{name}"][0] == -1:  # a data set records it for all images or for none
            return None
        return np.concatenate([block[f"truth/{name}"].numpy() for block in self._parsed(spec)])
