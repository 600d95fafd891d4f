"""What a training step tracks, against a gradient tape over one example at a time in training mode."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy import batch, captioner
from tfcap import registry
from tfcap.data.text import PAD
from tfcap.scoring.tracking import needs_norms, tracking_of
from tfcap.settings import SelectionSettings
from tfcap.training.step import loss_and_gradients, seeded_state, tracked_loss_and_gradients, values_of

NAMES = tuple(registry.TRACKED)
_COUNT = 6


@functools.cache
def _model(encoder_trains):
    model = captioner(encoder_trains=encoder_trains)
    model.label_smoothing = 0.1  # which the loss of training has, and that of evaluation has not
    return model


def _inputs(encoder_trains):
    """Captions of unequal lengths; the last row is padding."""
    found = batch(_COUNT, seed=3, images=encoder_trains)
    found["weights"][-1] = 0.0
    return {name: tf.constant(array) for name, array in found.items()}


def _tracked(names, encoder_trains, xla):
    model = _model(encoder_trains)
    tracking = tracking_of(names, model, SelectionSettings())
    compute = tracked_loss_and_gradients(model, xla, tracking)
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    return compute(*values, _inputs(encoder_trains))


@functools.cache
def _references(encoder_trains):
    """Returns what each signal is of each example, by its name, one example and one word at a time."""
    model, found = _model(encoder_trains), {name: [] for name in NAMES}
    inputs = _inputs(encoder_trains)
    for row in range(_COUNT - 1):
        alone = {name: value[row : row + 1] for name, value in inputs.items()}
        with tf.GradientTape() as tape:
            losses, mask = model(alone, training=True)
            loss = tf.reduce_sum(losses) / tf.reduce_sum(mask)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        flat = np.concatenate([tf.convert_to_tensor(gradient).numpy().ravel() for gradient in gradients])
        log_probs, words, _ = (value.numpy()[0] for value in model.next_words(alone, training=True))
        margins = [
            chances[word] - max(np.delete(chances, word))
            for chances, word in zip(log_probs, words, strict=True)
            if word
        ]
        right = [chances.argmax() == word for chances, word in zip(log_probs, words, strict=True) if word]
        numbers = {
            "loss": float(loss),
            "gradient_norm": np.linalg.norm(flat.astype(np.float64)),
            "forgetting": np.mean(right),
            "aum": np.mean(margins),
        }
        for name, number in numbers.items():
            found[name].append(number)
    return {name: np.array(values) for name, values in found.items()}


def test_the_references_tell_the_examples_apart():
    found = _references(False)
    assert set(found) == set(registry.TRACKED)
    assert len(np.unique(found["loss"].round(4))) == len(np.unique(found["gradient_norm"].round(4))) == _COUNT - 1
    assert found["gradient_norm"].min() > 0.01
    assert 0 < found["forgetting"].mean() < 1 and found["aum"].min() < found["aum"].max()


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("encoder_trains", [False, True])
def test_each_signal_is_that_of_the_example_alone(encoder_trains, xla):
    tracked = _tracked(NAMES, encoder_trains, xla)[4].numpy()
    assert tracked.shape == (_COUNT, len(NAMES)) and np.isfinite(tracked).all()
    for name, column in zip(NAMES, tracked.T, strict=True):
        np.testing.assert_allclose(column[:-1], _references(encoder_trains)[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("names", [("loss",), ("aum", "forgetting"), ("gradient_norm",), ("aum", "loss")])
def test_fewer_signals_are_the_same_and_in_the_order_named(names):
    tracked = _tracked(names, False, False)[4].numpy()
    for name, column in zip(names, tracked.T, strict=True):
        np.testing.assert_allclose(column[:-1], _references(False)[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("encoder_trains", [False, True])
def test_loss_and_gradients_are_those_of_the_untracked_step(encoder_trains):
    model = _model(encoder_trains)
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    expected = loss_and_gradients(model, False, training=True)(*values, _inputs(encoder_trains))
    found = _tracked(NAMES, encoder_trains, False)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], expected[1])
    for ours, theirs in zip(found[2], expected[2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_losses_have_the_dropout_of_the_step():
    model, inputs = captioner(dropout=0.5), _inputs(False)
    compute = tracked_loss_and_gradients(model, False, tracking_of(("loss",), model, SelectionSettings()))
    parameters, found = values_of(model.trainable_variables), []
    for number in (0, 1):
        total, _, _, _, tracked = compute(parameters, seeded_state(model, 0, tf.constant(number), 0), inputs)
        lengths = (inputs["tokens"].numpy()[:-1, 1:] != PAD).sum(axis=1)
        assert (tracked.numpy()[:-1, 0] * lengths).sum() == pytest.approx(float(total), rel=1e-5)
        found.append(tracked.numpy()[:-1, 0])
    assert (np.abs(found[0] - found[1]) > 1e-3).all()


def test_only_norms_need_the_rules_of_layers():
    assert [name for name in NAMES if needs_norms([name])] == ["gradient_norm"]
    assert needs_norms(("loss", "gradient_norm")) and not needs_norms(())


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["1 1", "2 0", "2 1"])
def test_replicas_and_xla_change_nothing_of_a_training_s_dynamics(two_replicas, variant):
    one = two_replicas["dynamics"]["1 0"]
    for name in NAMES:
        expected, found = (np.array(dynamics[name]) for dynamics in (one, two_replicas["dynamics"][variant]))
        assert np.isfinite(expected[:, :9]).all() and np.isnan(expected[:, 9]).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=name)
