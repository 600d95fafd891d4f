"""Our LSTM with its hand-written gradient against Keras' LSTM and against autodiff of an unrolled loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tfcap.models.lstm import HoistedLSTM, lstm_sequence

B, T, E, U = 3, 5, 4, 2


def _random(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.fixture(scope="module")
def pair():
    """Our layer and Keras' with the same random weights: the gates lie in the same order, i, f, c (ours: g), o."""
    ours, theirs = HoistedLSTM(U), keras.layers.LSTM(U, return_sequences=True)
    ours.build((None, None, E))
    theirs.build((None, None, E))
    weights = [_random(E, 4 * U, seed=1), _random(U, 4 * U, seed=2), _random(4 * U, seed=3)]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    return ours, theirs


def test_outputs_equal_those_of_keras(pair):
    ours, theirs = pair
    x, h, c = _random(B, T, E), _random(B, U, seed=4), _random(B, U, seed=5)
    np.testing.assert_allclose(ours(x, h, c), theirs(x, initial_state=[h, c]), atol=1e-6)


def test_the_cell_step_by_step_equals_the_sequence(pair):
    ours, _ = pair
    x, h, c = _random(B, T, E), _random(B, U, seed=4), _random(B, U, seed=5)
    expected = ours(x, h, c)
    for t in range(T):
        h, c = ours.cell(ours.project(x[:, t]), h, c)
        np.testing.assert_allclose(h, expected[:, t], atol=1e-6)


def test_forget_gate_starts_open_and_the_rest_of_the_bias_is_0():
    layer = HoistedLSTM(U)
    layer.build((None, None, E))
    assert layer.bias.numpy().tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_a_fresh_layer_equals_a_fresh_keras_layer_in_bias():
    theirs = keras.layers.LSTM(U)
    theirs.build((None, None, E))
    ours = HoistedLSTM(U)
    ours.build((None, None, E))
    np.testing.assert_array_equal(ours.bias.numpy(), theirs.cell.bias.numpy())


def _unrolled(z, kernel, h, c):
    outputs = []
    for t in range(z.shape[0]):
        i, f, g, o = ops.split(z[t] + ops.matmul(h, kernel), 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        outputs.append(h)
    return ops.stack(outputs)


def _gradients(function, arguments, upstream, **compiled):
    @tf.function(**compiled)
    def compute(arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            outputs = function(*arguments)
            loss = tf.reduce_sum(outputs * upstream)
        return outputs, tape.gradient(loss, arguments)

    return compute(arguments)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "xla"),
    [(np.float64, 1e-12, False), (np.float32, 2e-6, False), (np.float32, 2e-6, True)],
    ids=["float64", "float32", "float32 XLA"],
)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_gradients_of_all_four_arguments_equal_those_of_autodiff(dtype, tolerance, xla, steps):
    shapes = [(steps, B, 4 * U), (U, 4 * U), (B, U), (B, U)]
    arguments = [tf.constant(_random(*shape, seed=n, dtype=dtype)) for n, shape in enumerate(shapes)]
    upstream = _random(steps, B, U, seed=9, dtype=dtype)
    expected_outputs, expected = _gradients(_unrolled, arguments, upstream)
    outputs, found = _gradients(lstm_sequence, arguments, upstream, jit_compile=xla)
    np.testing.assert_allclose(outputs, expected_outputs, atol=tolerance)
    for name, ours, theirs in zip(("z", "recurrent_kernel", "h", "c"), found, expected, strict=True):
        assert np.abs(theirs).max() > 1e-3, name
        np.testing.assert_allclose(ours, theirs, atol=tolerance * np.abs(theirs).max(), err_msg=name)
