"""Distances of gradients and of cross-covariances, against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy_student import IMAGE, TEXT, differences, pairs, point, student
from tfcap.training.contrastive import gradient_function
from tfcap.training.matching import covariance_distance, gradient_distance

MODEL = student()
START = point(MODEL)
REAL, MADE = pairs(8), pairs(5, seed=1)
BOTH = pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
KERNELS = {"image": 1, "text": 3}
_gradients = gradient_function(MODEL, xla=False)


def _tensors(*arrays):
    return [tf.constant(array, tf.float64) for array in arrays]


def _apart(matched, images, texts):
    """1 less the cosine of what each output of a kernel is given, summed."""
    wanted, given = (_gradients(START, [], *found)[1] for found in (REAL, (images, texts)))
    total = 0.0
    for name in matched:
        for one, other in zip(wanted[KERNELS[name]].numpy().T, given[KERNELS[name]].numpy().T, strict=True):
            total += 1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return total


@pytest.mark.parametrize("matched", [("image", "text"), ("image",), ("text",)], ids="-".join)
@BOTH
def test_the_distance_of_gradients_and_its_own_gradients(xla, matched):
    loss, *found = gradient_distance(MODEL, xla, matched)(START, [], *_tensors(*REAL, *MADE))
    assert float(loss) == pytest.approx(_apart(matched, *MADE), rel=1e-9)
    images, texts = MADE
    wanted = (
        differences(lambda moved: _apart(matched, moved, texts), images),
        differences(lambda moved: _apart(matched, images, moved), texts),
    )
    for gradient, expected in zip(found, wanted, strict=True):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8)


def test_pairs_with_the_same_gradient_are_not_apart():
    loss, *_ = gradient_distance(MODEL, False)(START, [], *_tensors(*REAL, *REAL))
    assert float(loss) == pytest.approx(0, abs=1e-9)


WANTED, MEANS, SCALE, WEIGHT = (
    np.random.default_rng(2).normal(size=(IMAGE, TEXT)),
    (np.full(IMAGE, 0.3), np.full(TEXT, -0.2)),
    1.7,
    0.6,
)


def _from_wanted(images, texts):
    covariance = np.cov(images.T, texts.T, bias=True)[:IMAGE, IMAGE:]
    apart = np.square(SCALE * covariance - WANTED).sum() / np.square(WANTED).sum()
    means = sum(
        np.square(vectors.mean(axis=0) - mean).sum() for vectors, mean in zip((images, texts), MEANS, strict=True)
    )
    return apart + WEIGHT * means


@BOTH
def test_the_distance_of_cross_covariances_and_its_gradients(xla):
    distance = covariance_distance(lambda images: images, xla, WEIGHT)
    loss, *found = distance(*_tensors(*MADE, WANTED, *MEANS, SCALE))
    assert float(loss) == pytest.approx(_from_wanted(*MADE), rel=1e-9)
    images, texts = MADE
    wanted = (
        differences(lambda moved: _from_wanted(moved, texts), images),
        differences(lambda moved: _from_wanted(images, moved), texts),
    )
    for gradient, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_what_encodes_images_is_differentiated_too():
    images, texts = MADE
    factors = np.array([2.0, -1.0, 0.5])
    distance = covariance_distance(lambda given: given * factors, False, WEIGHT)
    loss, of_images, _ = distance(*_tensors(*MADE, WANTED, *MEANS, SCALE))
    assert float(loss) == pytest.approx(_from_wanted(images * factors, texts), rel=1e-9)
    wanted = differences(lambda moved: _from_wanted(moved * factors, texts), images)
    np.testing.assert_allclose(of_images, wanted, rtol=1e-6, atol=1e-9)


def test_pairs_with_the_wanted_covariance_and_means_are_not_apart():
    images, texts = MADE
    covariance = np.cov(images.T, texts.T, bias=True)[:IMAGE, IMAGE:]
    distance = covariance_distance(lambda given: given, False, WEIGHT)
    given = _tensors(images, texts, covariance, images.mean(axis=0), texts.mean(axis=0), 1.0)
    assert float(distance(*given)[0]) == pytest.approx(0, abs=1e-12)
