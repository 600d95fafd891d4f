"""D2 pruning, against a direct implementation with loops over examples and neighbours."""

import math

import numpy as np
import pytest

from tfcap.errors import InputError
from tfcap.selection import Signals
from tfcap.selection.d2 import D2
from tfcap.selection.ranked import Hardest

RNG = np.random.default_rng


def _direct(points, scores, ids, degree, forward, reverse):
    count = len(points)
    unit = [point / (np.linalg.norm(point) or 1) for point in points.astype(np.float64)]
    squared = [[float(((a - b) ** 2).sum()) for b in unit] for a in unit]
    linked = [set() for _ in range(count)]
    for one in range(count):
        others = sorted((other for other in range(count) if other != one), key=lambda other: squared[one][other])
        for other in others[:degree]:
            linked[one].add(other)
            linked[other].add(one)
    value = [
        scores[one] + sum(math.exp(-forward * squared[one][other]) * scores[other] for other in linked[one])
        for one in range(count)
    ]
    kept = []
    while len(kept) < count:
        best = max((one for one in range(count) if one not in kept), key=lambda one: value[one])
        kept.append(best)
        for other in linked[best]:
            value[other] -= math.exp(-reverse * squared[best][other]) * value[best]
    return [int(ids[one]) for one in kept]


@pytest.mark.parametrize(("degree", "forward", "reverse"), [(1, 1, 1), (3, 1, 1), (5, 0.3, 2), (24, 1, 0.1)])
def test_it_is_the_direct_implementation(degree, forward, reverse):
    for seed in range(3):
        points, ids = RNG(seed).normal(size=[25, 3]).astype(np.float32), RNG(seed).permutation(99)[:25]
        scores = RNG(seed).normal(size=25)
        kept = D2("loss", degree, forward, reverse)(Signals(ids, {"loss": scores}, points), 25, RNG(0))
        assert kept.tolist() == _direct(points, scores, ids, degree, forward, reverse)


def test_without_neighbours_it_is_hardest_first():
    signals = Signals(np.arange(9), {"loss": RNG(0).integers(0, 4, 9)}, RNG(0).normal(size=[9, 2]))
    assert D2(neighbours=0)(signals, 9, RNG(0)).tolist() == Hardest("loss")(signals, 9, RNG(0)).tolist()


def test_of_two_hard_duplicates_only_one_comes_first():
    points, scores = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32), np.array([5.0, 5.0, 1.0, 1.0])
    assert D2(neighbours=1)(Signals(np.array([4, 3, 2, 1]), {"loss": scores}, points), 2, RNG(0)).tolist() == [3, 1]


def test_an_infinite_score_cannot_be_passed_on():
    with pytest.raises(InputError, match="score loss of image 1 is infinite"):
        D2()(Signals(np.arange(2), {"loss": np.array([1, np.inf])}, np.eye(2)), 1, RNG(0))
