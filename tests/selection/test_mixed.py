"""Mixed quotas: shares are kept, nothing twice, each part in its own order."""

import numpy as np

from tfcap.selection import Signals
from tfcap.selection.mixed import Mixed
from tfcap.selection.random import Random
from tfcap.selection.ranked import Easiest, Hardest

RNG = np.random.default_rng
SIGNALS = Signals(np.arange(100), {"loss": np.arange(100.0)})


def test_turns_come_in_proportion_to_the_shares():
    kept = Mixed(((Hardest("loss"), 3.0), (Easiest("loss"), 1.0)))(SIGNALS, 40, RNG(0))
    for budget in range(1, 41):
        assert abs((kept[:budget] >= 50).sum() - 0.75 * budget) <= 1
    assert kept[kept >= 50].tolist() == list(range(99, 69, -1))
    assert kept[kept < 50].tolist() == list(range(10))


def test_an_example_that_another_part_took_costs_no_turn():
    """Both parts want the same: together they keep what one alone would."""
    same = Mixed(((Hardest("loss"), 0.5), (Hardest("loss"), 0.5)))
    assert same(SIGNALS, 20, RNG(0)).tolist() == Hardest("loss")(SIGNALS, 20, RNG(0)).tolist()


def test_two_random_parts_draw_differently_and_a_part_draws_the_same_beside_another():
    both = Mixed(((Random(), 1.0), (Hardest("loss"), 1.0)))(SIGNALS, 20, RNG(0))
    other = Mixed(((Random(), 1.0), (Easiest("loss"), 1.0)))(SIGNALS, 20, RNG(0))
    assert both[0] == other[0] and both[2] == other[2]
    twice = Mixed(((Random(), 1.0), (Random(), 1.0)))(SIGNALS, 100, RNG(0))
    assert twice.tolist() != Mixed(((Random(), 1.0),))(SIGNALS, 100, RNG(0)).tolist()


def test_it_needs_what_its_parts_need_once():
    assert Mixed(((Hardest("loss"), 1.0), (Easiest("loss"), 1.0), (Hardest("el2n"), 1.0))).needs == ("loss", "el2n")
