"""What every selector promises. A new selector is a new row of ROWS; every test below then runs over it.

A row says which of the promises that not every method can give hold for it.
"""

import dataclasses

import numpy as np
import pytest

from tfcap import registry
from tfcap.errors import InputError
from tfcap.selection import Selector, Signals


@dataclasses.dataclass(frozen=True)
class Row:
    """`prefix`: what a smaller budget keeps is the beginning of what a larger one keeps."""

    prefix: bool = True


ROWS = {
    "random": Row(),
    "gradient_norm": Row(),
    "loss": Row(),
}

N = 40


def _signals(count: int = N, seed: int = 0, scores: np.ndarray | None = None) -> Signals:
    """Ids that are neither sorted nor consecutive, and every registered score."""
    rng = np.random.default_rng(seed)
    ids = (rng.permutation(10 * count)[:count] + 1000).astype(np.int64)
    random = {name: rng.exponential(size=count).astype(np.float32) for name in registry.SCORES}
    return Signals(ids, random if scores is None else dict.fromkeys(registry.SCORES, scores))


def _select(name: str, signals: Signals, budget: int, seed: int = 0) -> np.ndarray:
    return registry.SELECTORS[name](signals, budget, np.random.default_rng(seed))


every = pytest.mark.parametrize("name", ROWS)


def test_every_registered_selector_has_a_row():
    assert set(ROWS) == set(registry.SELECTORS)


@every
def test_it_is_a_selector_whose_score_is_registered(name):
    selector = registry.SELECTORS[name]
    assert isinstance(selector, Selector)
    assert selector.score is None or selector.score in registry.SCORES


@every
@pytest.mark.parametrize("budget", [1, 2, N // 2, N - 1, N])
def test_it_keeps_as_many_as_asked_each_once_and_known(name, budget):
    signals = _signals()
    kept = _select(name, signals, budget)
    assert kept.shape == (budget,) and kept.dtype == np.int64
    assert len(set(kept.tolist())) == budget and set(kept.tolist()) <= set(signals.ids.tolist())


@every
def test_equal_arguments_give_equal_ids(name):
    assert _select(name, _signals(), 17).tolist() == _select(name, _signals(), 17).tolist()


@every
def test_the_seed_is_all_that_is_random(name):
    """Numpy's global generator has no part in it."""
    np.random.seed(0)
    first = _select(name, _signals(), 17)
    np.random.seed(1)
    assert _select(name, _signals(), 17).tolist() == first.tolist()


@every
def test_the_signals_are_left_as_they_are(name):
    signals = _signals()
    before = signals.ids.copy(), {key: value.copy() for key, value in signals.scores.items()}
    _select(name, signals, 17)
    np.testing.assert_array_equal(signals.ids, before[0])
    for key, value in before[1].items():
        np.testing.assert_array_equal(signals.scores[key], value)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.prefix])
def test_a_smaller_budget_keeps_the_beginning_of_a_larger_one(name):
    whole = _select(name, _signals(), N).tolist()
    for budget in (1, 9, 30):
        assert _select(name, _signals(), budget).tolist() == whole[:budget]


@every
def test_one_image_is_kept(name):
    signals = _signals(count=1)
    assert _select(name, signals, 1).tolist() == signals.ids.tolist()


@every
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e30])
def test_equal_scores_are_no_obstacle(name, value):
    signals = _signals(scores=np.full(N, value, np.float32))
    kept = _select(name, signals, 10)
    assert len(set(kept.tolist())) == 10
    assert _select(name, signals, 10).tolist() == kept.tolist()


@pytest.mark.parametrize("name", [name for name in ROWS if registry.SELECTORS[name].score])
def test_a_score_that_is_not_a_number_is_an_error_naming_the_image(name):
    signals = _signals()
    score = registry.SELECTORS[name].score
    signals.scores[score][[7, 20]] = np.nan
    with pytest.raises(InputError, match=rf"score {score} of image {signals.ids[7]} is NaN.*2 such scores of {N}"):
        _select(name, signals, 3)


@every
@pytest.mark.parametrize("budget", [0, -1, N + 1])
def test_a_budget_outside_1_to_n_is_an_error(name, budget):
    with pytest.raises(InputError, match=rf"budget is out of range.*Received: {budget}.*1 to {N} images"):
        _select(name, _signals(), budget)


def test_random_keeps_every_image_equally_often():
    signals, kept = _signals(), np.zeros(N)
    positions = {int(number): position for position, number in enumerate(signals.ids)}
    for seed in range(400):
        for number in _select("random", signals, 10, seed).tolist():
            kept[positions[number]] += 1
    assert np.abs(kept - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)
