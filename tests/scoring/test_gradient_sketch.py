"""Sketches against whole gradients."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.scoring.test_layer_rules import EXAMPLES, ROWS, _inputs, _losses, _net
from tests.scoring.toy import batches
from tests.training.toy import captioner
from tfcap.scoring import gradient_sketch
from tfcap.scoring.gradient_sketch import GradientSketch
from tfcap.scoring.rules import RULES
from tfcap.scoring.sketch_files import unpacked
from tfcap.scoring.taps import recording, rules_for
from tfcap.settings import SelectionSettings
from tfcap.training.step import values_of


def _gradients(net, x):
    """Returns each example's whole gradient, flat: [EXAMPLES, parameters]."""
    rows = []
    for example in range(EXAMPLES):
        with tf.GradientTape() as tape:
            loss = _losses(net(x))[example]
        gradients = tape.gradient(loss, [variable.value for variable in net.trainable_variables])
        rows.append(np.concatenate([tf.convert_to_tensor(gradient).numpy().ravel() for gradient in gradients]))
    return np.stack(rows)


def _of_map(signs, seed, index, place, shape):
    return signs(100 * seed + index, place, shape)


@pytest.mark.parametrize("name", ["dense called twice", "embedding, tied", "conv, groups", "gru", "layer norm"])
def test_inner_products_of_sketches_are_those_of_gradients_on_average(name, monkeypatch):
    """Over 200 maps of 64 dimensions; the mean's standard error is then a few hundredths of the squared norms."""
    net, x = _net(ROWS[name]), _inputs(ROWS[name], 2)
    exact = _gradients(net, x)
    exact = exact @ exact.T
    layers, found = rules_for(net, RULES, None), []
    with tf.GradientTape() as tape, recording(layers, EXAMPLES, tape.watch) as taps:
        total = tf.reduce_sum(_losses(net(x)))
    gradients = tape.gradient(total, taps.outputs)
    factors = taps.factors(gradients, net.trainable_variables)
    plain = gradient_sketch._signs
    for seed in range(200):
        monkeypatch.setattr(gradient_sketch, "_signs", functools.partial(_of_map, plain, seed))
        sketch = gradient_sketch.sketch(factors, 8).numpy()
        found.append(sketch @ sketch.T)
    np.testing.assert_allclose(np.mean(found, axis=0), exact, atol=0.1 * np.diag(exact).max())


def _sketches(dimensions, kind="float16", count=7, **settings):
    model = captioner()
    signal = GradientSketch(SelectionSettings(sketch_dimensions=dimensions, sketch_type=kind, **settings))
    (batch,) = batches(count, count)
    inputs = {name: tf.constant(array) for name, array in batch.items() if name != "position"}
    compute = signal.compute(model, False)
    found = compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs).numpy()
    return signal.stored(found)


def test_sketches_are_stored_in_two_bytes_or_one_bit_a_dimension():
    half, bits = _sketches(64), _sketches(64, "bits")
    assert half.dtype == np.float16 and half.shape == (7, 64)
    assert bits.dtype == np.uint8 and bits.shape == (7, 8)
    np.testing.assert_array_equal(unpacked(bits), np.where(half > 0, 1, -1))
    np.testing.assert_array_equal(unpacked(half), half)


def test_equal_settings_give_equal_sketches():
    np.testing.assert_array_equal(_sketches(64), _sketches(64))


def test_the_sketch_is_of_the_gradient_of_the_sum_where_that_is_asked_for():
    """One caption of n tokens: the sum's gradient is n times the mean's."""
    (batch,) = batches(1, 1)
    tokens = (batch["tokens"][0, 0, 1:] > 0).sum()
    mean, total = (_sketches(16, count=1, token_reduction=reduction) for reduction in ("mean", "sum"))
    np.testing.assert_allclose(total, tokens * mean.astype(np.float32), rtol=2e-3)
