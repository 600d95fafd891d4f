"""From encoded image to what a captioner sees, with the same ops in training, scoring and serving."""

from __future__ import annotations

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

MAX_PIXELS = 50_000_000  # a small PNG can decode to hundreds of megabytes (BUILD_NOTES.md)


def decode(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the image uint8 [size, size, 3] in encoded JPEG or PNG bytes (a scalar string).

    The whole picture is squashed to a square, so that nothing a caption may name is cut off.
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return resize(image, size)


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Returns uint8 [H, W, 3] resized to [size, size, 3] with anti-aliasing; an image of that size is left alone."""

    def resized() -> tf.Tensor:
        scaled = tf.image.resize(tf.cast(image, tf.float32), [size, size], antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(scaled), 0.0, 255.0), tf.uint8)

    same = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    return tf.ensure_shape(tf.cond(same, lambda: image, resized), [size, size, 3])


class Augmentation:
    """Random crop and flip drawn from a seed per image, so that they do not depend on batch, worker or order.

    A crop is of the picture enlarged by an eighth of its side, or with "pad" of the picture as it is in a margin of
    zeros, which is an eighth of its side wide all around.

    The transformations are those of the Keras layers; only their draws are made here, because a Keras
    layer draws for a whole batch from a state of its own.
    """

    def __init__(self, kind: str, size: int) -> None:
        self.crops, self.flips, self.size = "crop" in kind, "flip" in kind, size
        self._margin = size // 8 if "pad" in kind else 0
        self.decoded_size = size + size // 8 if self.crops and not self._margin else size
        self._crop = keras.layers.RandomCrop(size, size, dtype="uint8")
        self._flip = keras.layers.RandomFlip("horizontal", dtype="uint8")

    def __call__(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns uint8 [size, size, 3] from uint8 [decoded_size, decoded_size, 3] and int32 [2]."""
        if self.crops:
            margin = self._margin
            image = tf.pad(image, [[margin, margin], [margin, margin], [0, 0]])
            whole = self.decoded_size + 2 * margin
            corner = tf.random.stateless_uniform([2], seed, 0, whole - self.size + 1, tf.int32)
            image = self._crop.transform_images(image, (corner[0], corner[1]))
        if self.flips:
            flips = tf.random.stateless_uniform([1, 1, 1, 1], seed + 1) < 0.5
            image = self._flip.transform_images(image[None], {"flips": flips})[0]
        return tf.ensure_shape(tf.cast(image, tf.uint8), [self.size, self.size, 3])
