"""Figures about subsets, each against its definition written out."""

import itertools

import numpy as np
import pytest

from tfcap.reporting.subsets import jaccard, jaccard_by_chance, precision_and_recall, types_seen, types_seen_by_chance

ORDER = np.random.default_rng(0).permutation(30)
WANTED = np.random.default_rng(1).random(30) < 0.2
TYPES = np.random.default_rng(2).integers(0, 9, 30)


def test_precision_and_recall_count_what_is_found():
    precision, recall = precision_and_recall(ORDER, WANTED)
    for k in range(1, 31):
        found = sum(WANTED[position] for position in ORDER[:k])
        assert precision[k - 1] == pytest.approx(found / k)
        assert recall[k - 1] == pytest.approx(found / WANTED.sum())


def test_nothing_wanted_is_nothing_found():
    precision, recall = precision_and_recall(ORDER, np.zeros(30, bool))
    assert not precision.any() and not recall.any()


def test_types_seen_counts_distinct_types():
    seen = types_seen(ORDER, TYPES)
    for k in range(1, 31):
        assert seen[k - 1] == pytest.approx(len(set(TYPES[ORDER[:k]])) / len(set(TYPES)))


def test_types_seen_by_chance_is_the_mean_over_all_orders():
    types = np.array([5, 5, 5, 2, 7, 7])
    orders = itertools.permutations(range(6))
    expected = np.mean([types_seen(np.array(order), types) for order in orders], axis=0)
    np.testing.assert_allclose(types_seen_by_chance(types), expected, rtol=1e-9)


def test_jaccard_of_sets():
    rng = np.random.default_rng(3)
    subsets = [rng.random(40) < part for part in (0.2, 0.5, 0.9)] + [np.zeros(40, bool)]
    sets = [set(np.flatnonzero(one)) for one in subsets]
    expected = [[len(a & b) / max(1, len(a | b)) for b in sets] for a in sets]
    np.testing.assert_allclose(jaccard(subsets), expected)


def test_jaccard_by_chance_is_near_that_of_random_subsets():
    rng = np.random.default_rng(4)
    subsets = [np.isin(np.arange(2000), rng.permutation(2000)[:size]) for size in (500, 500, 1500)]
    by_chance = jaccard_by_chance(subsets)
    assert by_chance[0, 1] == pytest.approx(125 / 875)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(jaccard(subsets)[off], by_chance[off], atol=0.03)
