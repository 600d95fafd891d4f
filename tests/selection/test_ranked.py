"""By one score: hardest, easiest and median, against a brute-force sort."""

import numpy as np
import pytest

from tfcap import registry
from tfcap.errors import InputError
from tfcap.selection import Signals
from tfcap.selection.ranked import Easiest, Hardest, Median


def _brute_force(ids, scores, budget):
    kept = []
    left = list(zip(ids.tolist(), scores.tolist(), strict=True))
    for _ in range(budget):
        hardest = max(score for _, score in left)
        chosen = min(number for number, score in left if score == hardest)
        kept.append(chosen)
        left = [pair for pair in left if pair[0] != chosen]
    return kept


def _toy(distinct):
    rng = np.random.default_rng(0)
    return rng.permutation(200)[:60].astype(np.int64), rng.integers(0, distinct, 60).astype(np.float32)


@pytest.mark.parametrize("name", ["gradient_norm", "loss", "el2n"])
@pytest.mark.parametrize("distinct", [3, 1000])
def test_the_kept_are_the_hardest_and_ties_go_to_the_smaller_id(name, distinct):
    ids, scores = _toy(distinct)
    for budget in (1, 17, 60):
        kept = registry.SELECTORS[name]()(Signals(ids, {name: scores}), budget, np.random.default_rng(1))
        assert kept.tolist() == _brute_force(ids, scores, budget)


@pytest.mark.parametrize("distinct", [3, 1000])
def test_the_easiest_are_the_hardest_of_the_negative_score(distinct):
    ids, scores = _toy(distinct)
    kept = Easiest("loss")(Signals(ids, {"loss": scores}), 60, np.random.default_rng(1))
    assert kept.tolist() == _brute_force(ids, -scores, 60)


@pytest.mark.parametrize("count", [9, 10])
def test_the_median_s_band_has_as_many_above_as_below(count):
    scores = np.random.default_rng(0).permutation(count).astype(np.float32) ** 3  # ranks count, not values
    kept = Median("loss")(Signals(np.arange(count), {"loss": scores}), count, np.random.default_rng(0))
    for budget in range(1, count + 1):
        above = (scores[kept[:budget]] > np.median(scores)).sum()
        below = (scores[kept[:budget]] < np.median(scores)).sum()
        assert abs(above - below) <= 1
        assert np.ptp(np.sort(np.argsort(np.argsort(scores))[kept[:budget]])) == budget - 1  # a band of ranks


@pytest.mark.parametrize("name", ["gradient_norm", "loss"])
def test_infinity_is_harder_than_any_number(name):
    ids, scores = np.array([4, 8, 9]), np.array([1.0, np.inf, -np.inf])
    kept = Hardest(name)(Signals(ids, {name: scores}), 3, np.random.default_rng(0))
    assert kept.tolist() == [8, 4, 9]


def test_a_score_that_is_missing_is_named_beside_those_that_are_there():
    with pytest.raises(InputError, match="Received: loss. Expected: the score el2n"):
        Hardest("el2n")(Signals(np.arange(2), {"loss": np.zeros(2)}), 1, np.random.default_rng(0))
