"""Sets whose cross-covariance is that of all pairs, against brute force and other programs."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from tests.distillation.toy import IMAGE, TEXT, TRAIN, ToyProblem, no_experts, nothing_shown
from tfcap.distillation.covariance import CovMatch, CovMatchExact, WhitenedDirections, cross_covariance
from tfcap.errors import InputError
from tfcap.training.matching import covariance_distance

PROBLEM = ToyProblem(noise=1.5)
TRAIN_SPLIT = PROBLEM.train
WANTED = cross_covariance(TRAIN_SPLIT.images, TRAIN_SPLIT)


def _pairs(kind, count):
    return kind(PROBLEM, no_experts).distil(count, 0, None, False, nothing_shown).pairs


def _covariance(pairs):
    return np.cov(pairs.images.T, pairs.texts.T, bias=True)[:IMAGE, IMAGE:]


def test_each_image_counts_once_however_many_captions_it_has():
    assert len(set(np.diff(TRAIN_SPLIT.start))) > 1
    rows = [range(*TRAIN_SPLIT.start[image : image + 2]) for image in range(TRAIN)]
    products = sum(
        np.outer(TRAIN_SPLIT.images[image], TRAIN_SPLIT.texts[row]) / len(own) / TRAIN
        for image, own in enumerate(rows)
        for row in own
    )
    texts = sum(TRAIN_SPLIT.texts[row] / len(own) / TRAIN for own in rows for row in own)
    means = np.outer(TRAIN_SPLIT.images.mean(axis=0), texts)
    np.testing.assert_allclose(WANTED, products - means, atol=1e-6)


def test_covmatch_is_at_its_least_for_a_set_with_the_means_and_the_covariance_of_train():
    # Each image with the mean of its captions: as many pairs as images.
    images = TRAIN_SPLIT.images
    texts = np.stack([own.mean(axis=0) for own in np.split(TRAIN_SPLIT.texts, TRAIN_SPLIT.start[1:-1])])
    objective = CovMatch(ToyProblem(noise=1.5, mean_weight=0.5), no_experts).objective(False)
    change = objective.change(tf.constant(images), tf.constant(texts), None, None)
    assert float(change.loss) == pytest.approx(0, abs=1e-9)
    for gradient in (change.images, change.texts):
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
    moved = objective.change(tf.constant(images + 1), tf.constant(texts), None, None)
    assert float(moved.loss) == pytest.approx(0.5 * IMAGE, rel=1e-4)  # the covariance is the same


def _least(pairs):
    """The distance to the wanted covariance at the best factor, over the square of what is wanted."""
    found = _covariance(pairs)
    factor = (found * WANTED).sum() / np.square(found).sum()
    return np.square(factor * found - WANTED).sum() / np.square(WANTED).sum()


def _of_descent(count, seed, steps=400):
    """The distance after a long descent from noise, the factor being free in the length of the pairs."""
    rng = np.random.default_rng(seed)
    images, texts = (tf.Variable(rng.normal(size=(count, size))) for size in (IMAGE, TEXT))
    zero = [tf.zeros(size, tf.float64) for size in (IMAGE, TEXT)]
    distance = covariance_distance(lambda given: given, False, 0.0)
    losses = []
    for _ in range(steps):
        loss, *gradients = distance(images, texts, tf.constant(WANTED), *zero, tf.constant(1.0, tf.float64))
        losses.append(float(loss))
        for variable, gradient in zip((images, texts), gradients, strict=True):
            variable.assign_sub(0.5 * gradient)
    return min(losses)


@pytest.mark.parametrize("count", [2, 3])
def test_exact_pairs_have_the_best_covariance_that_so_many_can_have(count):
    pairs = _pairs(CovMatchExact, count)
    # Eckart and Young: what is left are the values behind; so many pairs about their mean have a rank of one less.
    values = np.linalg.svd(WANTED, compute_uv=False)
    bound = np.square(values[count - 1 :]).sum() / np.square(values).sum()
    assert _least(pairs) == pytest.approx(bound, abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(300):  # no directions of that rank come nearer
        left, _ = np.linalg.qr(rng.normal(size=(IMAGE, count - 1)))
        assert np.square(left @ (left.T @ WANTED) - WANTED).sum() / np.square(WANTED).sum() >= bound - 1e-9
    reached = [_of_descent(count, seed) for seed in range(2)]
    assert min(reached) >= bound - 1e-9
    assert min(reached) < bound + 0.1  # it is no straw man


def test_exact_pairs_have_no_mean_and_a_mean_squared_length_of_one():
    for count in (2, 3, TEXT + 1):
        pairs = _pairs(CovMatchExact, count)
        for vectors in (pairs.images, pairs.texts):
            np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-6)
            assert np.square(vectors).sum(axis=1).mean() == pytest.approx(1, abs=1e-5)


def test_as_many_exact_pairs_as_there_are_directions_and_one_have_the_whole_covariance():
    assert _least(_pairs(CovMatchExact, TEXT + 1)) == pytest.approx(0, abs=1e-9)


def _canonical(vectors):
    centred = vectors - vectors.mean(axis=0)
    covariance = centred.T @ centred / len(centred)
    return covariance + np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def test_canonical_directions_solve_the_generalised_eigenproblem():
    """Of ridge-regularised canonical correlation: C S^-1 C' a = rho^2 S a, whose a's, whitened, are the directions."""
    images, texts = (np.asarray(vectors, np.float64) for vectors in (TRAIN_SPLIT.images, TRAIN_SPLIT.texts))
    of_images, of_texts = _canonical(images), _canonical(texts)
    squares, found = scipy.linalg.eigh(WANTED @ np.linalg.solve(of_texts, WANTED.T), of_images)
    best = found[:, np.argsort(-squares)[:3]]
    wanted = (np.real(scipy.linalg.sqrtm(of_images)) @ best).T
    pairs = _pairs(WhitenedDirections, 6)
    for direction, expected, text in zip(pairs.images[:3], wanted, pairs.texts[:3], strict=True):
        assert abs(direction @ expected) == pytest.approx(1, abs=1e-5)
        # The text's direction is what the image's is taken to, with the same sign.
        given = np.linalg.inv(np.real(scipy.linalg.sqrtm(of_texts))) @ WANTED.T
        given = given @ np.linalg.inv(np.real(scipy.linalg.sqrtm(of_images))) @ direction
        assert text @ given / np.linalg.norm(given) == pytest.approx(1, abs=1e-5)


def test_canonical_pairs_are_unit_vectors_and_their_opposites():
    pairs = _pairs(WhitenedDirections, 6)
    for vectors in (pairs.images, pairs.texts):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(vectors[3:], -vectors[:3])
        np.testing.assert_allclose(vectors[:3] @ vectors[:3].T, np.eye(3), atol=1e-5)
    odd = _pairs(WhitenedDirections, 5)
    np.testing.assert_array_equal(odd.images, pairs.images[:5])


@pytest.mark.parametrize(("kind", "most"), [(CovMatchExact, TEXT + 1), (WhitenedDirections, 2 * TEXT)])
def test_more_pairs_than_there_are_directions_for_are_refused(kind, most):
    assert kind(PROBLEM, no_experts).most_pairs() == most
    assert len(_pairs(kind, most)) == most
    with pytest.raises(InputError, match=f"to {most}"):
        _pairs(kind, most + 1)


def test_one_exact_pair_has_no_covariance_and_is_refused():
    with pytest.raises(InputError, match=r"--pairs=1\b.*2 to"):
        _pairs(CovMatchExact, 1)
