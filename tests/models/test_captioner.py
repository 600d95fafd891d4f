"""The losses of a captioner's tokens, by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tfcap.data.text import PAD
from tfcap.models.captioner import Captioner

V, D = 7, 3
TOKENS = np.array([[1, 5, 2, PAD, PAD], [1, 4, 6, 5, 2], [1, 2, PAD, PAD, PAD]], np.int32)
FEATURES = np.random.default_rng(0).normal(size=[3, D]).astype(np.float32)
TABLE = np.random.default_rng(1).normal(size=[V, V]).astype(np.float32)
MIX = np.random.default_rng(2).normal(size=[D, V]).astype(np.float32)


class Linear(Captioner):
    """Logits that are a table's row plus the features' share; in training they are not other logits."""

    def __init__(self, label_smoothing=0.0):
        super().__init__(keras.layers.Identity(), label_smoothing)

    def decoder_logits(self, features, tokens, training):
        return ops.take(TABLE, tokens, axis=0) + ops.matmul(features, MIX)[:, None]


def _log_probs() -> np.ndarray:
    logits = (TABLE[TOKENS[:, :-1]] + (FEATURES @ MIX)[:, None]).astype(np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _cross_entropy() -> np.ndarray:
    return -np.take_along_axis(_log_probs(), TOKENS[:, 1:, None].astype(int), -1)[..., 0]


MASK = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], np.float32)


def _losses(model, tokens=TOKENS, features=FEATURES, **options):
    losses, mask = model({"tokens": tf.constant(tokens), "features": tf.constant(features)}, **options)
    return losses.numpy(), mask.numpy()


def test_a_token_s_loss_is_its_cross_entropy_and_padding_has_none():
    losses, mask = _losses(Linear())
    assert losses.dtype == mask.dtype == np.float32
    np.testing.assert_array_equal(mask, MASK)
    np.testing.assert_allclose(losses, _cross_entropy() * MASK, rtol=1e-5)


def test_label_smoothing_spreads_the_target_in_training_alone():
    model = Linear(label_smoothing=0.2)
    np.testing.assert_allclose(_losses(model)[0], _cross_entropy() * MASK, rtol=1e-5)
    target = np.full([3, 4, V], 0.2 / V)
    np.put_along_axis(target, TOKENS[:, 1:, None].astype(int), 0.8 + 0.2 / V, axis=-1)
    expected = -(target * _log_probs()).sum(-1) * MASK
    np.testing.assert_allclose(_losses(model, training=True)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_several_captions_an_image_are_as_many_rows_with_its_features(training):
    model = Linear(label_smoothing=0.1)
    grouped = np.stack([TOKENS, TOKENS[::-1]], axis=1)  # [3, 2, 5]
    losses, mask = _losses(model, grouped, training=training)
    assert losses.shape == mask.shape == (3, 2, 4)
    flat, flat_mask = _losses(model, grouped.reshape(6, 5), np.repeat(FEATURES, 2, axis=0), training=training)
    np.testing.assert_array_equal(losses.reshape(6, 4), flat)
    np.testing.assert_array_equal(mask.reshape(6, 4), flat_mask)


def test_images_are_encoded_where_no_features_are_given():
    model = Linear()
    model.encoder.preprocess = lambda images: ops.cast(images, "float32")
    images = np.array([[3, 1, 4], [1, 5, 9], [2, 6, 5]], np.uint8)
    losses, _ = model({"tokens": tf.constant(TOKENS), "images": tf.constant(images)})
    np.testing.assert_array_equal(losses, _losses(model, features=images.astype(np.float32))[0])


def test_0_is_a_word():
    losses, mask = _losses(Linear(), np.maximum(TOKENS, 0))
    assert mask.min() == 1 and losses.min() > 0


def test_adding_padding_changes_no_loss():
    longer = np.pad(TOKENS, [(0, 0), (0, 3)], constant_values=PAD)
    losses, mask = _losses(Linear(), longer)
    np.testing.assert_array_equal(losses[:, :4], _losses(Linear())[0])
    assert losses[:, 4:].max() == 0 and mask[:, 4:].max() == 0
