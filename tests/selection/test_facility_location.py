"""Facility location, against plain greedy over all similarities and, on small cases, the optimum."""

import itertools
import math

import numpy as np
import pytest

from tfcap.selection import Signals
from tfcap.selection.facility_location import FacilityLocation

RNG = np.random.default_rng


def _similarity(points):
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit = points / np.where(length > 0, length, 1)
    return np.clip(unit @ unit.T, 0, None).astype(np.float64)


def _value(similarity, kept):
    return similarity[:, list(kept)].max(axis=1, initial=0).sum()


def _plain(similarity, ids):
    """Evaluates every candidate at every step."""
    kept = []
    while len(kept) < len(ids):
        left = [one for one in range(len(ids)) if one not in kept]
        gains = {one: round(_value(similarity, [*kept, one]) - _value(similarity, kept), 5) for one in left}
        kept.append(min(left, key=lambda one: (-gains[one], ids[one])))
    return ids[kept].tolist()


@pytest.mark.parametrize("seed", range(4))
def test_lazy_greedy_is_plain_greedy(seed):
    points, ids = RNG(seed).normal(size=[40, 4]).astype(np.float32), RNG(seed).permutation(99)[:40]
    kept = FacilityLocation()(Signals(ids, embeddings=points), 40, RNG(0)).tolist()
    assert kept == _plain(_similarity(points), ids)


def test_equal_gains_go_to_the_smaller_id():
    """Eight axes, each three times: any of them, then one of another axis, and so on; then nothing is gained."""
    points, ids = np.tile(np.eye(8, dtype=np.float32), [3, 1]), RNG(0).permutation(99)[:24]
    kept = FacilityLocation()(Signals(ids, embeddings=points), 24, RNG(0)).tolist()
    assert kept == _plain(_similarity(points), ids)
    assert kept[8:] == sorted(kept[8:])


@pytest.mark.parametrize("budget", [1, 2, 3, 4])
def test_the_value_is_at_least_1_less_1_over_e_of_the_optimum(budget):
    for seed in range(5):
        points = RNG(seed).normal(size=[12, 3]).astype(np.float32)
        similarity = _similarity(points)
        best = max(_value(similarity, kept) for kept in itertools.combinations(range(12), budget))
        kept = FacilityLocation()(Signals(np.arange(12), embeddings=points), budget, RNG(0))
        assert _value(similarity, kept) >= (1 - 1 / math.e) * best - 1e-5


def test_beyond_the_neighbours_similarities_are_0():
    """Each of ten pairs knows its other half alone; with all neighbours the common direction makes one serve all."""
    points = np.repeat(np.eye(10, dtype=np.float32), 2, axis=0) + 0.5
    signals = Signals(np.arange(20), embeddings=points)
    assert set(FacilityLocation(neighbours=1)(signals, 10, RNG(0)) // 2) == set(range(10))
    similarity = _similarity(points)
    similarity[np.arange(20)[:, None] // 2 != np.arange(20) // 2] = 0
    assert FacilityLocation(neighbours=1)(signals, 20, RNG(0)).tolist() == _plain(similarity, signals.ids)


def test_zeros_represent_nothing_and_come_last():
    points = np.array([[0, 0], [1, 0], [0, 0], [0, 1]], np.float32)
    assert FacilityLocation()(Signals(np.arange(4), embeddings=points), 4, RNG(0)).tolist() == [1, 3, 0, 2]
