"""Students that judge a set: their batches, their training, and which of them counts."""

import math
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.distillation.toy import ToyProblem
from tfcap.distillation.judging import judge
from tfcap.distillation.method import real_pairs
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.students import Recipe, Students, batches_of
from tfcap.errors import TrainingDiverged
from tfcap.evaluation.retrieval import Ranks, summary
from tfcap.training.contrastive import gradient_function

PROBLEM = ToyProblem()
ROWS = np.arange(7)
PAIRS = real_pairs(PROBLEM, ROWS, PROBLEM.train.start[ROWS])


def test_each_pass_takes_every_pair_once_at_most_and_leaves_others_out():
    batches = batches_of(10, 3, 8, np.random.default_rng(0))
    assert batches.shape == (8, 3) and batches.dtype == np.int32
    passes = [batches[first : first + 3].ravel() for first in (0, 3)]
    assert all(len(set(rows)) == 9 and set(rows) <= set(range(10)) for rows in passes)
    assert passes[0].tolist() != passes[1].tolist()
    many = batches_of(10, 3, 300, np.random.default_rng(0)).reshape(100, 9)
    assert len({45 - rows.sum() for rows in many}) == 10  # the one left out


def test_a_pass_without_remainder_is_a_permutation():
    batches = batches_of(6, 2, 6, np.random.default_rng(0))
    assert all(sorted(rows) == list(range(6)) for rows in batches.reshape(2, 6))


@pytest.mark.parametrize("size", [5, 9])
def test_where_all_fit_each_step_takes_all(size):
    np.testing.assert_array_equal(batches_of(5, size, 3, np.random.default_rng(0)), np.tile(np.arange(5), (3, 1)))


@pytest.mark.parametrize("batch_size", [7, 3])
def test_a_student_descends_with_momentum_at_rates_that_decay_by_half_a_cosine(batch_size):
    recipe = Recipe((0.5, 0.2), steps=6, batch_size=batch_size)
    found = Students(PROBLEM, False).trained(PAIRS, recipe, seed=4)
    compute = gradient_function(PROBLEM.student, False)
    now, velocities = PROBLEM.initial(4), [0.0] * 5
    batches = batches_of(7, batch_size, 6, np.random.default_rng([4, 1]))
    for step, batch in enumerate(batches):
        image, text = (rate * (1 + math.cos(math.pi * step / 6)) / 2 for rate in recipe.rates)
        _, gradients = compute([tf.constant(value) for value in now], [], PAIRS.images[batch], PAIRS.texts[batch])
        velocities = [0.9 * old + new.numpy() for old, new in zip(velocities, gradients, strict=True)]
        rates = [text, image, image, text, text]
        now = [np.float32(p - rate * v) for p, rate, v in zip(now, rates, velocities, strict=True)]
    for value, wanted in zip(found, now, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)


def test_ranks_are_those_of_the_cosines_of_all_images_and_captions():
    parameters = [tf.constant(value) for value in PROBLEM.initial(1)]
    split = PROBLEM.splits["test"]
    found = Students(PROBLEM, False).ranks(parameters, split)
    log_scale, *layers = (value.numpy() for value in parameters)
    images, texts = split.images @ layers[0] + layers[1], split.texts @ layers[2] + layers[3]
    images, texts = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (images, texts))
    scores = images @ texts.T
    of_own = scores[split.image_of_text, np.arange(len(texts))]
    np.testing.assert_array_equal(found.text_to_image, (scores > of_own).sum(axis=0))


@pytest.mark.parametrize("steps", [1, 5])
def test_a_student_that_loses_its_numbers_is_an_error(steps):
    with pytest.raises(TrainingDiverged):
        Students(PROBLEM, False).trained(PAIRS, Recipe((3e38, 3e38), steps, 7), 0)


class Fixed:
    """Students whose ranks are known by rate and split; a rate of which nothing is known diverges."""

    def __init__(self, ranks):
        self.problem = types.SimpleNamespace(splits={"validation": "validation", "test": "test"})
        self.found, self.looked_at = ranks, []

    def trained(self, pairs, recipe, seed):
        if recipe.rates not in self.found:
            raise TrainingDiverged(f"rates {recipe.rates}")
        return [recipe.rates]

    def ranks(self, parameters, split):
        self.looked_at.append((parameters[0], split))
        return self.found[parameters[0]][split]


def _ranks(place):
    """Four images with a caption each, all of whose right answers stand at a place."""
    places = np.full(4, float(place))
    return Ranks(places, places, np.arange(4))


BEST, OTHER, OWN = (0.1, 0.1), (1.0, 1.0), (0.3, 0.7)


def test_the_rate_that_counts_is_chosen_on_validation_alone():
    students = Fixed(
        {
            BEST: {"validation": _ranks(0), "test": _ranks(7)},
            OTHER: {"validation": _ranks(3), "test": _ranks(0)},  # test would choose this one
        }
    )
    for rates in ([0.1, 1.0], [1.0, 0.1]):
        found = judge(students, PAIRS, rates, 5, 4, 0)
        assert found["rates"] == list(BEST)
        assert found["test"]["image_to_text"] == summary(_ranks(7))["image_to_text"]
        assert found["validation"]["text_to_image"]["R@1"] == 100
        assert found["hits"]["image_to_text"] == {"R@1": [0.0] * 4, "R@5": [0.0] * 4, "R@10": [1.0] * 4}
    assert {rates for rates, split in students.looked_at if split == "test"} == {BEST}


def test_the_rates_that_a_set_was_distilled_with_are_no_candidate():
    ranks = {rates: {"validation": _ranks(place), "test": _ranks(0)} for rates, place in ((BEST, 6), (OWN, 1))}
    assert judge(Fixed(ranks), Pairs(PAIRS.images, PAIRS.texts, OWN), [0.1], 5, 4, 0)["rates"] == list(BEST)


def test_rates_that_diverge_are_left_out_and_where_all_do_it_is_an_error():
    ranks = {OTHER: {"validation": _ranks(9), "test": _ranks(2)}}
    assert judge(Fixed(ranks), PAIRS, [0.1, 1.0, 5.0], 5, 4, 0)["rates"] == list(OTHER)
    with pytest.raises(TrainingDiverged, match=r"rates \(5"):
        judge(Fixed(ranks), PAIRS, [0.1, 5.0], 5, 4, 0)
