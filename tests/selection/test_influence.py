"""Influence on targets, against votes counted one by one."""

import numpy as np
import pytest

from tfcap.errors import InputError
from tfcap.selection import Signals
from tfcap.selection.influence import Influence

RNG = np.random.default_rng


def _signals(seed=0):
    rng = RNG(seed)
    groups = np.array([4, 1, 4, 1, 1, 9])
    return Signals(
        rng.permutation(99)[:30],
        sketches=rng.normal(size=[30, 6]),
        target_sketches=rng.normal(size=[6, 6]),
        target_groups=groups,
    )


def _cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("budget", [1, 4, 13, 30])
def test_most_votes_first_then_the_mean_influence(budget):
    signals = _signals()
    means = [signals.target_sketches[signals.target_groups == group].mean(axis=0) for group in (1, 4, 9)]
    influence = {
        int(number): [_cosine(sketch, mean) for mean in means]
        for number, sketch in zip(signals.ids, signals.sketches, strict=True)
    }
    votes = dict.fromkeys(influence, 0)
    for target in range(3):
        for number in sorted(influence, key=lambda number: -influence[number][target])[:budget]:
            votes[number] += 1
    expected = sorted(influence, key=lambda number: (-votes[number], -sum(influence[number])))[:budget]
    assert Influence()(signals, budget, RNG(0)).tolist() == expected


def test_length_does_not_count_direction_does():
    sketches, targets = np.array([[0.1, 0], [5, 5], [-9, 0], [0, 0]]), np.array([[3.0, 0]])
    signals = Signals(np.arange(4), sketches=sketches, target_sketches=targets, target_groups=np.array([0]))
    assert Influence()(signals, 4, RNG(0)).tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("targets", [None, np.zeros([0, 6]), np.full([6, 6], np.nan), np.zeros([5, 6])])
def test_targets_that_cannot_be_used_are_an_error(targets):
    signals = _signals()
    wrong = Signals(
        signals.ids, sketches=signals.sketches, target_sketches=targets, target_groups=signals.target_groups
    )
    with pytest.raises(InputError, match="sketches of the targets cannot be used"):
        Influence()(wrong, 3, RNG(0))
