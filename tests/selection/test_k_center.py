"""k-centre, against the plain greedy method and, on small cases, the optimum."""

import itertools

import numpy as np
import pytest

from tfcap.selection import Signals, k_center
from tfcap.selection.k_center import KCenter

RNG = np.random.default_rng


def _plain(points, ids, first):
    """Reads all points for each centre."""
    distance, kept = ((points - points[first]) ** 2).sum(axis=1), [first]
    distance[first] = -1
    while len(kept) < len(points):
        best = min(np.flatnonzero(distance == distance.max()), key=lambda position: ids[position])
        kept.append(best)
        distance = np.minimum(distance, ((points - points[best]) ** 2).sum(axis=1))
        distance[best] = -1
    return ids[kept].tolist()


@pytest.mark.parametrize("candidates", [1, 2, 7, 1000])
@pytest.mark.parametrize("values", [2, 4, 100])
def test_the_order_is_that_of_plain_greedy_however_few_distances_are_brought_up_to_date(
    candidates, values, monkeypatch
):
    """Whole numbers, so that equal distances are equal; with few of them most points have duplicates."""
    monkeypatch.setattr(k_center, "_CANDIDATES", candidates)
    monkeypatch.setattr(k_center, "_CENTRES", 3)
    for seed in range(10):
        points, ids = RNG(seed).integers(0, values, [50, 3]).astype(np.float32), RNG(seed).permutation(300)[:50]
        kept = KCenter()(Signals(ids, embeddings=points), 50, RNG(seed))
        assert kept.tolist() == _plain(points, ids, int(np.flatnonzero(ids == kept[0])[0]))


def _radius(points, kept):
    return max(min(np.linalg.norm(points[kept] - point, axis=1)) for point in points)


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_the_radius_is_at_most_twice_the_optimum(budget):
    for seed in range(10):
        points = RNG(seed).normal(size=[11, 2]).astype(np.float32)
        best = min(_radius(points, list(kept)) for kept in itertools.combinations(range(11), budget))
        kept = KCenter()(Signals(np.arange(11), embeddings=points), budget, RNG(seed))
        assert _radius(points, kept) <= 2 * best + 1e-5


def test_the_first_is_drawn():
    points = RNG(0).normal(size=[8, 2]).astype(np.float32)
    firsts = {int(KCenter()(Signals(np.arange(8), embeddings=points), 1, RNG(seed))[0]) for seed in range(80)}
    assert firsts == set(range(8))


def test_duplicates_come_last_in_the_order_of_ids():
    points = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]] * 5
    kept = KCenter()(Signals(np.array([8, 7, 6, 5, 1, 2, 3, 4]), embeddings=points), 8, RNG(0)).tolist()
    assert {9 - number if number > 4 else number for number in kept[:4]} == {1, 2, 3, 4}
    assert kept[4:] == sorted(kept[4:])
