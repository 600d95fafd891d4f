"""Coverage-centric selection, against an example worked by hand and the published way to spread the budget."""

import numpy as np
import pytest

from tfcap.errors import InputError
from tfcap.selection import Signals
from tfcap.selection.stratified import Stratified

RNG = np.random.default_rng


def _select(scores, budget, seed=0, **options):
    signals = Signals(np.arange(len(scores)) + 100, {"loss": np.array(scores, np.float32)})
    return Stratified(**options)(signals, budget, RNG(seed)) - 100


def test_an_example_worked_by_hand():
    """Twenty scores; the hardest 20 % (25, 30, 40, 50) are noise; four strata over [0, 12], each 3 wide.

    [0, 3): 0, 1, 1, 2, 2, 2.5, 2.9, 2.9; [3, 6): 3, 4, 5; [6, 9): 7; [9, 12]: 9, 10, 11, 12.
    A budget of 10, smallest stratum first: 10 // 4 = 2 but there is 1; 9 // 3 = 3; 6 // 2 = 3; 3 // 1 = 3.
    """
    scores = np.array([0, 1, 1, 2, 2, 2.5, 2.9, 2.9, 3, 4, 5, 7, 9, 10, 11, 12, 25, 30, 40, 50])
    for seed in range(5):
        kept = scores[_select(scores, 10, seed, strata=4, noise_cut=0.2)]
        assert [((low <= kept) & (kept < high)).sum() for low, high in ((0, 3), (3, 6), (6, 9), (9, 13))] == [
            3,
            3,
            1,
            3,
        ]


def _published(sizes, budget):
    """How many of each stratum: from the smallest on, an equal part of what is left, or all there are."""
    found = dict.fromkeys(range(len(sizes)), 0)
    for done, stratum in enumerate(sorted(found, key=lambda one: sizes[one])):
        found[stratum] = min(sizes[stratum], (budget - sum(found.values())) // (len(sizes) - done))
    return sorted(found.values())


@pytest.mark.parametrize("strata", [1, 3, 7, 50])
def test_every_budget_is_spread_as_published(strata):
    scores = RNG(1).exponential(size=120)
    covered = np.sort(scores)[: 120 - 12]

    def counts(values):
        stratum = np.minimum((values - covered[0]) / np.ptp(covered) * strata, strata - 1).astype(int)
        return np.bincount(stratum, minlength=strata)

    for budget in range(1, 109):
        kept = scores[_select(scores, budget, strata=strata)]
        assert sorted(counts(kept)) == _published(counts(covered), budget)


def test_the_hardest_are_set_aside_until_nothing_else_is_left():
    scores = RNG(2).permutation(30).astype(float)
    kept = scores[_select(scores, 30, noise_cut=0.1)]
    assert set(kept[:27]) == set(range(27))
    assert kept[27:].tolist() == [27, 28, 29]
    assert scores[_select(scores, 30, noise_cut=0)][27:].tolist() != [27, 28, 29]


def test_with_fewer_images_than_strata_no_end_of_the_range_is_preferred():
    """Every stratum holds one image, so which of them are kept is drawn."""
    first = [int(_select(np.arange(20), 1, seed, strata=20, noise_cut=0)[0]) for seed in range(300)]
    assert set(first) == set(range(20))


def test_inside_a_stratum_the_draw_is_random():
    drawn = {int(_select(np.zeros(10), 1, seed)[0]) for seed in range(100)}
    assert drawn == set(range(1, 10))  # of ten equal scores the smallest id is set aside


def test_everything_may_be_set_aside():
    assert _select([3, 1, 2], 3, noise_cut=1).tolist() == [1, 2, 0]


def test_an_infinite_score_has_no_stratum():
    with pytest.raises(InputError, match="score loss of image 101 is infinite"):
        _select([1, np.inf, 2], 2)
