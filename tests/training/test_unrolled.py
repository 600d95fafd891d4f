"""The unrolled descent: its gradient is the whole one, and the same in the memory of one step."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_vit import SIDE, write_vit
from tests.training.toy_student import TEXT, differences, near, pairs, point, student
from tfcap import registry
from tfcap.models.student import Student, with_low_rank
from tfcap.models.vit import Vit
from tfcap.training.contrastive import gradient_function
from tfcap.training.unrolled import Unrolling

MODEL = student()
START = point(MODEL)
TARGET = near(START)
IMAGES, TEXTS = pairs(7)
RATES = np.array([0.4, 0.7])
# Pair 2 twice in a step, pairs 0 to 2 in several, pair 3 in none.
BATCHES = np.array([[0, 1, 2], [2, 2, 5], [4, 0, 6], [6, 1, 2]], np.int32)
MATCHED = pytest.mark.parametrize("matched", [("image", "text"), ("image",), ("text",)], ids="-".join)
BOTH = pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
WAYS = pytest.mark.parametrize("way", ["plain", "recomputed"])
_gradients = gradient_function(MODEL, xla=False)


def _losses(images, texts, rates):
    """The matching losses of image and text after a descent, step by step in NumPy."""
    now = [value.numpy() for value in START]
    rate_of = [rates[1], rates[0], rates[0], rates[1], rates[1]]
    for batch in BATCHES:
        _, found = _gradients([tf.constant(value) for value in now], [], images[batch], texts[batch])
        now = [value - rate * gradient.numpy() for value, rate, gradient in zip(now, rate_of, found, strict=True)]

    def far(one, other, places):
        return sum(np.square(np.asarray(one[place]) - other[place]).sum() for place in places)

    return np.array([far(now, TARGET, of) / far(START, TARGET, of) for of in ([1, 2], [3, 4])])


def _found(unrolling, way, images=IMAGES, texts=TEXTS, rates=RATES, target=TARGET):
    given = (tf.constant(one) for one in (images, texts, rates))
    return getattr(unrolling, way)(START, target, [], *given, BATCHES)


@MATCHED
@WAYS
@BOTH
def test_gradients_at_pairs_and_rates_are_those_of_finite_differences(way, xla, matched):
    found = _found(Unrolling(MODEL, xla, matched), way)
    kept = np.array([name in matched for name in ("image", "text")])
    np.testing.assert_allclose(found.losses, _losses(IMAGES, TEXTS, RATES) * kept, rtol=1e-9)
    assert float(found.loss) == pytest.approx(float(np.sum(found.losses)))
    given = {"images": IMAGES, "texts": TEXTS, "rates": RATES}
    for name, value in given.items():
        wanted = differences(lambda moved, name=name: (_losses(**{**given, name: moved}) * kept).sum(), value)
        assert np.abs(wanted).max() > 1e-4  # or there would be nothing to see
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=1e-5, atol=1e-8)


@WAYS
def test_a_pair_of_no_step_has_no_gradient(way):
    found = _found(Unrolling(MODEL, False), way)
    for gradient in (found.images.numpy(), found.texts.numpy()):
        assert not gradient[3].any()
        assert np.delete(gradient, 3, axis=0).any(axis=1).all()


@WAYS
def test_a_descent_that_moves_nothing_has_a_loss_of_one_each(way):
    found = _found(Unrolling(MODEL, False), way, rates=np.zeros(2))
    np.testing.assert_allclose(found.losses, [1, 1])
    assert float(found.loss) == pytest.approx(2)
    assert not np.any(found.images) and not np.any(found.texts)


@WAYS
def test_the_loss_is_none_where_the_descent_ends_at_the_target(way):
    unrolling = Unrolling(MODEL, False)
    now = START
    for batch in BATCHES:
        _, found = _gradients(now, [], IMAGES[batch], TEXTS[batch])
        rate_of = [RATES[1], RATES[0], RATES[0], RATES[1], RATES[1]]
        now = [value - rate * gradient for value, rate, gradient in zip(now, rate_of, found, strict=True)]
    np.testing.assert_allclose(_found(unrolling, way, target=now).losses, [0, 0], atol=1e-15)
    elsewhere = [now[0] + 3, *now[1:]]  # the scale is not matched
    np.testing.assert_allclose(_found(unrolling, way, target=elsewhere).losses, [0, 0], atol=1e-15)


def _of_pixels(kind, folder):
    keras.utils.set_random_seed(0)
    if kind == "nf_resnet_small":
        encoder = registry.ENCODERS[kind]("none", SIDE, False)
        encoder.trainable = True
    else:
        encoder = with_low_rank(Vit(str(write_vit(folder / "vit")), SIDE, False), rank=2)
        for variable in encoder.trainable_variables:  # so that both of a pair have a gradient
            variable.assign(np.random.default_rng(0).normal(scale=0.3, size=variable.shape))
    return Student(encoder.feature_size, TEXT, 4, 0.3, encoder)


@pytest.mark.parametrize(
    ("kind", "xla"),
    [
        ("nf_resnet_small", False),
        pytest.param("nf_resnet_small", True, marks=pytest.mark.slow),  # minutes of XLA, of two steps
        ("low rank", False),
        pytest.param("low rank", True, marks=pytest.mark.slow),
    ],
)
def test_computing_again_gives_what_keeping_all_gives_through_an_encoder(kind, xla, tmp_path):
    model, rng = _of_pixels(kind, tmp_path), np.random.default_rng(0)
    start = [variable.value for variable in model.trainable_variables]
    state = [variable.value for variable in model.non_trainable_variables]
    target = near(start, scale=0.02)
    images = tf.constant(rng.uniform(0, 255, (3, SIDE, SIDE, 3)), tf.float32)
    texts = tf.constant(rng.normal(size=(3, TEXT)), tf.float32)
    given = (start, target, state, images, texts, tf.constant([0.02, 0.1]), np.array([[0, 1], [1, 2]], np.int32))
    unrolling = Unrolling(model, xla)
    kept, again = unrolling.plain(*given), unrolling.recomputed(*given)
    for field in dataclasses.fields(kept):
        one, other = (np.asarray(getattr(found, field.name)) for found in (kept, again))
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(other, one, atol=2e-4 * np.abs(one).max(), err_msg=field.name)
