"""Gradient norms in mixed precision against a float32 gradient tape over one example at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcap.models.build import build_captioner
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.scoring.last_layer import LastLayerGradientNorm
from tfcap.settings import SelectionSettings, Settings
from tfcap.training.step import example_gradient_norms, values_of

B, C, T, V, SIDE = 6, 2, 8, 40, 32
SMALL = {"encoder": "small_resnet", "image_size": SIDE, "units": 32, "embedding_size": 32, "dropout": 0.0}
TOLERANCE = 2e-2  # bfloat16 holds 8 bits: 0.4 % an operation


@pytest.fixture
def mixed_precision():
    yield lambda: keras.config.set_dtype_policy("mixed_bfloat16")
    keras.config.set_dtype_policy("float32")


def _captioner(**said):
    """Returns a captioner with weights as large as trained ones, the same in any precision."""
    model = build_captioner(Settings().replace(**SMALL, **said).resolve(), V)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if "bias" in variable.path or "beta" in variable.path:
            variable.assign(rng.normal(scale=0.1, size=variable.shape))
    return model


def _batch():
    rng = np.random.default_rng(1)
    tokens = rng.integers(4, V, [B, C, T])
    tokens[..., 0] = 1
    tokens[:, 1, 5:] = 0
    images = rng.integers(0, 256, [B, SIDE // 8, SIDE // 8, 3]).repeat(8, 1).repeat(8, 2)
    return {
        "images": tf.constant(images, tf.uint8),
        "tokens": tf.constant(tokens, tf.int32),
        "weights": tf.ones([B, C]),
    }


def _values(model):
    return values_of(model.trainable_variables), values_of(model.non_trainable_variables)


@pytest.mark.parametrize(
    "said", [{}, {"tie_embeddings": True}, {"attention": True}], ids=["plain", "tied", "attention"]
)
def test_norms_are_those_of_float32_to_two_in_a_hundred(mixed_precision, record_property, said):
    exact = _captioner(**said)
    expected = example_gradient_norms(exact, False)(*_values(exact), _batch())[0].numpy()
    assert np.ptp(expected) > TOLERANCE * expected.max()
    mixed_precision()
    model = _captioner(**said)
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    found = GradientNorm(SelectionSettings()).compute(model, False)(*_values(model), _batch()).numpy()
    error = np.abs(found / expected - 1).max()
    record_property("largest_relative_error", float(error))
    assert 1e-6 < error < TOLERANCE  # it is another precision, and near


def test_so_are_norms_of_the_last_layer(mixed_precision):
    signal, exact = LastLayerGradientNorm(SelectionSettings()), _captioner()
    expected = signal.compute(exact, False)(*_values(exact), _batch()).numpy()
    mixed_precision()
    model = _captioner()
    np.testing.assert_allclose(signal.compute(model, False)(*_values(model), _batch()), expected, rtol=TOLERANCE)
