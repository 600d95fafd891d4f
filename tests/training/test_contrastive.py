"""The contrastive loss, its gradients and its descent, against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy_student import TEMPERATURE, differences, logits, near, pairs, point, student
from tfcap.training.contrastive import (
    contrastive,
    descent_function,
    gradient_function,
    rate_places,
    vectors_function,
)

IMAGES, TEXTS = pairs(9, seed=13)
MODEL = student()
START = point(MODEL)
BOTH = pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])


def _each(parameters, images, texts):
    """InfoNCE of each pair, the mean of both directions, written out."""
    scores = logits(parameters, images, texts)
    found = []
    for own in range(len(scores)):
        of_image = -np.log(np.exp(scores[own, own]) / np.exp(scores[own]).sum())
        of_text = -np.log(np.exp(scores[own, own]) / np.exp(scores[:, own]).sum())
        found.append((of_image + of_text) / 2)
    return np.array(found)


def test_the_loss_is_info_nce_both_ways_at_the_exponential_of_the_scale():
    found = contrastive(MODEL, START, [], IMAGES, TEXTS)
    np.testing.assert_allclose(found.each, _each(START, IMAGES, TEXTS), rtol=1e-9)
    assert float(found.loss) == pytest.approx(np.mean(found.each))
    # Beside the formula, one that holds for any: where all pairs are alike, the loss is the logarithm of their number.
    alike = contrastive(MODEL, START, [], np.repeat(IMAGES[:1], 4, axis=0), np.repeat(TEXTS[:1], 4, axis=0))
    np.testing.assert_allclose(alike.each, np.log(4))


def test_the_two_directions_differ_here_so_that_none_alone_would_do():
    scores = logits(START, IMAGES, TEXTS)
    rows = np.log(np.exp(scores).sum(axis=1)) - scores.diagonal()
    columns = np.log(np.exp(scores).sum(axis=0)) - scores.diagonal()
    each = contrastive(MODEL, START, [], IMAGES, TEXTS).each
    assert np.abs(each - rows).max() > 1e-3
    assert np.abs(each - columns).max() > 1e-3


def test_right_is_a_pair_that_is_the_likeliest_both_ways():
    scores = logits(START, IMAGES, TEXTS)
    own = np.arange(len(scores))
    rows, columns = scores.argmax(axis=1) == own, scores.argmax(axis=0) == own
    assert (rows & columns).any() and (rows ^ columns).any()  # or the case would show nothing
    np.testing.assert_array_equal(contrastive(MODEL, START, [], IMAGES, TEXTS).right, rows & columns)


def test_the_parameters_that_are_given_count_and_not_the_model_s_own():
    other = near(START)
    assert float(contrastive(MODEL, other, [], IMAGES, TEXTS).loss) == pytest.approx(_each(other, IMAGES, TEXTS).mean())


@BOTH
def test_gradients_are_those_of_finite_differences(xla):
    (loss, each, _), found = gradient_function(MODEL, xla)(START, [], IMAGES, TEXTS)
    assert float(loss) == pytest.approx(_each(START, IMAGES, TEXTS).mean()) == pytest.approx(np.mean(each))
    for place, gradient in enumerate(found):

        def moved(value, place=place):
            return _each([*START[:place], value, *START[place + 1 :]], IMAGES, TEXTS).mean()

        np.testing.assert_allclose(gradient, differences(moved, START[place].numpy()), rtol=1e-6, atol=1e-9)


def test_the_scale_stands_still_above_its_limit():
    parameters = [tf.constant(np.log(150.0)), *START[1:]]
    _, found = gradient_function(MODEL, False)(parameters, [], IMAGES, TEXTS)
    assert float(found[0]) == 0
    assert np.abs(found[1]).max() > 0


@BOTH
def test_descent_is_gradient_descent_with_momentum_at_two_rates(xla):
    rates, momentum = np.array([0.3, 0.05]), 0.9
    step, gradients = descent_function(MODEL, xla, momentum), gradient_function(MODEL, False)
    now, still = list(START), [tf.zeros_like(value) for value in START]
    expected, velocities = [value.numpy() for value in START], [0.0] * len(START)
    rate_of = [rates[1], rates[0], rates[0], rates[1], rates[1]]  # the scale moves with the text
    for _ in range(5):
        (loss, each, right), now, still = step(now, still, [], IMAGES, TEXTS, rates)
        (known, of_each, of_right), found = gradients([tf.constant(one) for one in expected], [], IMAGES, TEXTS)
        velocities = [momentum * v + g.numpy() for v, g in zip(velocities, found, strict=True)]
        expected = [p - rate * v for p, rate, v in zip(expected, rate_of, velocities, strict=True)]
        assert float(loss) == pytest.approx(float(known), rel=1e-9)
        np.testing.assert_allclose(each, of_each, rtol=1e-9)
        np.testing.assert_array_equal(right, of_right)
    for value, wanted, velocity, faster in zip(now, expected, velocities, still, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9)
        np.testing.assert_allclose(faster, velocity, rtol=1e-7, atol=1e-12)


def test_each_parameter_has_the_rate_of_its_modality():
    assert rate_places(MODEL) == [1, 0, 0, 1, 1]


@BOTH
def test_vectors_are_those_of_the_parameters_that_are_given(xla):
    compute = vectors_function(MODEL, xla)
    of_images, of_texts = compute(START, [], IMAGES, True).numpy(), compute(START, [], TEXTS, False).numpy()
    scale = np.exp(START[0].numpy())
    np.testing.assert_allclose(scale * of_images @ of_texts.T, logits(START, IMAGES, TEXTS), rtol=1e-9)
    assert scale != pytest.approx(1 / TEMPERATURE)
