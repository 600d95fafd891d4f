"""Prototype pairs: centres of clusters, matched so that most pairs stay together."""

import itertools

import numpy as np

from tests.distillation.toy import TRAIN, ToyProblem, no_experts, nothing_shown
from tfcap.distillation.prototypes import Prototypes

COUNT, SEED = 4, 2


def _labels(vectors, centres):
    return np.square(vectors[:, None] - centres).sum(axis=2).argmin(axis=1)


def test_centres_are_means_and_no_other_assignment_keeps_more_pairs_together():
    problem = ToyProblem()
    pairs = Prototypes(problem, no_experts).distil(COUNT, SEED, None, False, nothing_shown).pairs
    captions = problem.train.one_caption_each(np.random.default_rng([SEED, 0]))
    given = problem.train.images, problem.train.texts[captions]
    labels = [_labels(vectors, centres) for vectors, centres in zip(given, (pairs.images, pairs.texts), strict=True)]
    for vectors, centres, own in zip(given, (pairs.images, pairs.texts), labels, strict=True):
        means = [vectors[own == cluster].mean(axis=0) for cluster in range(COUNT)]
        np.testing.assert_allclose(centres, means, atol=1e-5)

    def together(order):
        return int(np.sum(np.array(order)[labels[0]] == labels[1]))

    every = [together(order) for order in itertools.permutations(range(COUNT))]
    assert together(range(COUNT)) == max(every) > np.median(every) + TRAIN / 8
