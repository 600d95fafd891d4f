"""Dropout is a function of (seed, step, row): equal whatever the replica, the compiler or the call before."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcap.models.dropout import STATE, Dropout


def _dropped(x, rate=0.3, state=(1, 0, 0), xla=None, dtype=None):
    layer = Dropout(rate, dtype=dtype)
    layer.state.assign(np.array(state))
    if xla is None:
        return np.asarray(layer(x, training=True))
    return tf.function(lambda x: layer(x, training=True), jit_compile=xla)(tf.constant(x)).numpy()


ONES = np.ones([64, 500], np.float32)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_the_rate_is_kept_and_what_stays_is_scaled(rate):
    dropped = _dropped(ONES, rate)
    assert np.mean(dropped == 0) == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / ONES.size))
    assert np.unique(dropped).tolist() == [0.0, np.float32(1 / (1 - rate))]
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)


def test_rows_and_columns_are_dropped_alike():
    zero = _dropped(ONES, 0.5) == 0
    assert np.abs(zero.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(64)
    assert np.abs(zero.mean(axis=1) - 0.5).max() < 5 * 0.5 / np.sqrt(500)
    neighbours = np.corrcoef(zero[:, :-1].ravel(), zero[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(ONES.size)


def test_values_are_scaled_not_replaced():
    x = np.random.default_rng(0).normal(size=[8, 20]).astype(np.float32)
    dropped = _dropped(x, 0.25)
    stays = dropped != 0
    np.testing.assert_allclose(dropped[stays], x[stays] / 0.75, rtol=1e-6)
    assert 0 < stays.mean() < 1


def test_outside_training_and_at_rate_0_nothing_happens():
    assert np.asarray(Dropout(0.5)(ONES)).min() == 1
    assert np.asarray(Dropout(0.0)(ONES, training=True)).min() == 1


def test_equal_states_give_equal_draws_and_any_other_gives_others():
    first = _dropped(ONES, state=(1, 2, 0))
    np.testing.assert_array_equal(_dropped(ONES, state=(1, 2, 0)), first)
    for other in ((2, 2, 0), (1, 3, 0), (2, 1, 0), (1, 2, 64)):
        same = np.mean((_dropped(ONES, state=other) == 0) == (first == 0))
        assert same == pytest.approx(0.3**2 + 0.7**2, abs=0.02), other


@pytest.mark.parametrize("shape", [(6, 10), (6, 3, 5)])
def test_the_halves_of_a_batch_equal_the_whole(shape):
    x = np.ones(shape, np.float32)
    whole = _dropped(x, 0.5)
    halves = [_dropped(x[:2], 0.5), _dropped(x[2:], 0.5, state=(1, 0, 2))]
    np.testing.assert_array_equal(np.concatenate(halves), whole)
    assert not np.array_equal(whole[:2], whole[2:4])


def test_xla_and_eager_mode_draw_the_same_bits():
    eager = _dropped(ONES, 0.4, (7, 11, 3))
    for xla in (False, True):
        np.testing.assert_array_equal(_dropped(ONES, 0.4, (7, 11, 3), xla=xla), eager)


def test_draws_are_pinned():
    """A run that another version resumes must go on with the same draws."""
    row = _dropped(np.ones([1, 16], np.float32), 0.5, (1, 2, 3))[0] > 0
    assert "".join("x" if kept else "." for kept in row) == "..x.x.x.x.x..xx."


def test_low_precision_is_kept():
    assert _dropped(ONES.astype("float16"), dtype="float16").dtype == np.float16


def test_the_training_step_recognises_its_state():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop = Dropout(0.5, name="drop")

    (variable,) = Model().non_trainable_variables
    assert variable.path.endswith(STATE)
