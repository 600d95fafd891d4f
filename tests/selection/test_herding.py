"""Herding, against a direct implementation and against random."""

import numpy as np
import pytest

from tfcap.selection import Signals
from tfcap.selection.herding import Herding
from tfcap.selection.random import Random

RNG = np.random.default_rng


def _error(points, kept):
    return np.linalg.norm(points[kept].mean(axis=0) - points.mean(axis=0))


def _direct(points, ids):
    kept = []
    while len(kept) < len(points):
        left = [position for position in range(len(points)) if position not in kept]
        errors = {position: round(_error(points, [*kept, position]), 9) for position in left}
        kept.append(min(left, key=lambda position: (errors[position], ids[position])))
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_each_step_brings_the_mean_closest(seed):
    points, ids = RNG(seed).integers(-9, 9, [24, 3]).astype(np.float64), RNG(seed).permutation(24)
    kept = Herding()(Signals(ids, embeddings=points.astype(np.float32)), 24, RNG(0))
    # Where two examples bring it equally close, rounding may choose: the errors are what must agree.
    position = np.argsort(ids)[kept]
    expected = _direct(points, ids)
    for budget in range(1, 25):
        assert _error(points, position[:budget]) == pytest.approx(_error(points, expected[:budget]), abs=1e-6)
        if position[:budget].tolist() != expected[:budget]:
            break
    assert budget > 8


def test_its_mean_is_closer_than_random_s_at_every_budget():
    points = RNG(0).normal(size=[200, 16]).astype(np.float32) + 3
    signals = Signals(np.arange(200), embeddings=points)
    herding = Herding()(signals, 200, RNG(0))
    for seed in range(3):
        random = Random()(signals, 200, RNG(seed))
        assert all(_error(points, herding[:budget]) < _error(points, random[:budget]) for budget in range(1, 199))


def test_the_first_is_the_nearest_to_the_mean_and_ties_go_to_the_smaller_id():
    points = np.array([[4.0], [-4.0], [1.0], [-1.0]], np.float32)
    assert Herding()(Signals(np.array([5, 6, 9, 7]), embeddings=points), 4, RNG(0)).tolist() == [7, 9, 5, 6]
