"""Draws are a function of (purpose, seed, epoch, id) and of nothing else."""

import numpy as np
import pytest
from scipy import stats

from tfcap.data.draws import draw, permutation

IDS = np.arange(1000, dtype=np.int64) * 7 + 3


def test_draws_are_pinned():
    """A resumed run and another machine must draw the same, so the numbers themselves are part of the contract."""
    assert draw("order", 0, 0, np.array([0, 1, 581_929])).tolist() == [
        15008222267256498019,
        18311574584962343169,
        12589370638780490030,
    ]


@pytest.mark.parametrize("other", [("caption", 0, 0), ("order", 1, 0), ("order", 0, 1)])
def test_purpose_seed_and_epoch_each_change_every_draw(other):
    assert not np.any(draw("order", 0, 0, IDS) == draw(*other, IDS))


def test_seed_and_epoch_are_not_added_up():
    assert not np.any(draw("order", 1, 2, IDS) == draw("order", 2, 1, IDS))


def test_an_id_s_draw_does_not_depend_on_the_other_ids():
    whole = draw("order", 4, 2, IDS)
    assert draw("order", 4, 2, IDS[::-1]).tolist() == whole[::-1].tolist()
    assert draw("order", 4, 2, IDS[[17]]).tolist() == [whole[17]]


def test_negative_ids_are_ids_too():
    assert len(set(draw("order", 0, 0, np.array([-2, -1, 0, 1])).tolist())) == 4


def test_permutation_holds_every_position_once():
    assert sorted(permutation("order", 0, 0, IDS)) == list(range(len(IDS)))


def test_two_ids_keep_their_mutual_order_in_every_subset():
    order = IDS[permutation("order", 3, 1, IDS)].tolist()
    kept = IDS[np.random.default_rng(0).permutation(len(IDS))[:200]]
    assert kept[permutation("order", 3, 1, kept)].tolist() == [i for i in order if i in set(kept.tolist())]


def test_permutations_of_epochs_differ():
    first, second = (permutation("order", 0, epoch, IDS) for epoch in (0, 1))
    assert np.mean(first == second) < 0.02
    assert abs(stats.spearmanr(first, second).statistic) < 0.15


@pytest.mark.parametrize("choices", [5, 16, 7])
def test_choices_are_uniform_over_consecutive_ids(choices):
    draws = draw("caption", 0, 5, np.arange(20_000)) % np.uint64(choices)
    assert stats.chisquare(np.bincount(draws.astype(int), minlength=choices)).pvalue > 1e-4


def test_choices_of_one_id_are_uniform_over_epochs_and_unrelated_to_its_neighbour():
    here, there = (
        np.array([draw("caption", 0, epoch, np.array([number]))[0] % np.uint64(5) for epoch in range(2000)])
        for number in (10, 11)
    )
    table = np.zeros([5, 5])
    np.add.at(table, (here.astype(int), there.astype(int)), 1)
    assert stats.chisquare(table.ravel()).pvalue > 1e-4
