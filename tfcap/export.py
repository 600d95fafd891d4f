"""A captioner as a SavedModel: JPEG or PNG bytes in, captions out, with nothing but TensorFlow's own ops."""

from __future__ import annotations

from pathlib import Path

import tfcap.quiet  # noqa: F401

import tensorflow as tf

from tfcap.data.images import MAX_PIXELS, decode
from tfcap.data.subwords import Tokenizer
from tfcap.models.captioner import Captioner
from tfcap.models.generation import Decoding

_MAX_BYTES = 64 * 2**20
_PNG_HEADER_BYTES = 24  # signature, then length, name and the first two fields of IHDR: width and height


class CaptioningService(tf.Module):
    """The serving graph: header check, decoding, resizing, captioning and detokenisation."""

    def __init__(self, model: Captioner, tokenizer: Tokenizer, decoding: Decoding, *, image_size: int) -> None:
        super().__init__()
        self._parameters = [variable.value for variable in model.variables]  # tracked, so that they are saved
        self._model, self._tokenizer = model, tokenizer
        self._decoding, self._image_size = decoding, image_size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def caption(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `caption` string [B] and `score` float32 [B] for encoded images string [B].

        The score is the caption's log-probability over its length to the power of the length penalty. Where captions
        are drawn, an image's bytes decide on its draws. An image that is neither JPEG nor PNG, or has more than
        MAX_PIXELS, fails the call with InvalidArgument.
        """
        size = self._image_size
        images = tf.map_fn(
            lambda one: decode(checked(one), size),
            image_bytes,
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        )
        features = self._model.encode(images)
        rows = None
        if self._decoding.temperature:
            rows = tf.cast(tf.strings.to_hash_bucket_fast(image_bytes, 2**31 - 1), tf.int32)
        tokens, score = self._model.generate(features, self._tokenizer.max_tokens, self._decoding, rows)
        return {"caption": self._tokenizer.decode_in_graph(tokens), "score": score}


def checked(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the bytes of one image as they are, after an assertion on what its header says: scalar string."""
    jpeg = tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")
    png = tf.equal(tf.strings.substr(encoded, 0, 8), b"\x89PNG\r\n\x1a\n")
    png &= tf.strings.length(encoded) >= _PNG_HEADER_BYTES  # what follows reads the size in it
    small = tf.debugging.assert_less_equal(
        tf.strings.length(encoded), _MAX_BYTES, "image_bytes: an image file is too large"
    )
    known = tf.debugging.Assert(jpeg | png, ["image_bytes: expected JPEG or PNG"])

    def png_shape() -> tf.Tensor:
        header = tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.uint8), tf.int64)
        scale = tf.constant([2**24, 2**16, 2**8, 1], tf.int64)
        return tf.stack([tf.reduce_sum(header[4:] * scale), tf.reduce_sum(header[:4] * scale)])

    with tf.control_dependencies([small, known]):
        shape = tf.cond(jpeg, lambda: tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64), png_shape)
    pixels = tf.reduce_prod(shape)
    fits = tf.debugging.assert_less_equal(
        pixels, tf.constant(MAX_PIXELS, tf.int64), "image_bytes: an image has too many pixels"
    )
    with tf.control_dependencies([fits]):
        return tf.identity(encoded)


def save(folder: Path, model: Captioner, tokenizer: Tokenizer, decoding: Decoding, *, image_size: int) -> None:
    """Writes the SavedModel with the signature `serving_default` into `folder`."""
    service = CaptioningService(model, tokenizer, decoding, image_size=image_size)
    tf.saved_model.save(service, str(folder), signatures={"serving_default": service.caption})
