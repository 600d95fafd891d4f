"""Hardest first, against a brute-force sort."""

import numpy as np
import pytest

from tfcap import registry
from tfcap.selection import Signals


def _brute_force(ids, scores, budget):
    kept = []
    left = list(zip(ids.tolist(), scores.tolist(), strict=True))
    for _ in range(budget):
        hardest = max(score for _, score in left)
        chosen = min(number for number, score in left if score == hardest)
        kept.append(chosen)
        left = [pair for pair in left if pair[0] != chosen]
    return kept


@pytest.mark.parametrize("name", ["gradient_norm", "loss"])
@pytest.mark.parametrize("distinct", [3, 1000])
def test_the_kept_are_the_hardest_and_ties_go_to_the_smaller_id(name, distinct):
    rng = np.random.default_rng(0)
    ids = rng.permutation(200)[:60].astype(np.int64)
    scores = rng.integers(0, distinct, 60).astype(np.float32)
    for budget in (1, 17, 60):
        kept = registry.SELECTORS[name](Signals(ids, {name: scores}), budget, np.random.default_rng(1))
        assert kept.tolist() == _brute_force(ids, scores, budget)


@pytest.mark.parametrize("name", ["gradient_norm", "loss"])
def test_infinity_is_harder_than_any_number(name):
    ids, scores = np.array([4, 8, 9]), np.array([1.0, np.inf, -np.inf])
    kept = registry.SELECTORS[name](Signals(ids, {name: scores}), 3, np.random.default_rng(0))
    assert kept.tolist() == [8, 4, 9]
