"""What every selector promises. A new selector is a new row of ROWS; every test below then runs over it.

A row says which of the promises that not every method can give hold for it. Each selector is tested by itself and, as
"balanced NAME", inside every class.
"""

import dataclasses

import numpy as np
import pytest

from tfcap import registry
from tfcap.errors import InputError
from tfcap.selection import EMBEDDING, LABELS, SKETCHES, Selector, Signals
from tfcap.selection.class_balanced import ClassBalanced
from tfcap.selection.k_center import KCenter
from tfcap.selection.random import Random
from tfcap.selection.ranked import Hardest


@dataclasses.dataclass(frozen=True)
class Row:
    """Says `prefix` if what a smaller budget keeps is the beginning of what a larger one keeps.

    `options` are those that the selector cannot do without.
    """

    prefix: bool = True
    options: dict = dataclasses.field(default_factory=dict)


ROWS = {
    "random": Row(),
    "gradient_norm": Row(),
    "loss": Row(),
    "el2n": Row(),
    "forgetting": Row(),
    "hardest": Row(),
    "easiest": Row(),
    "median": Row(),
    "stratified": Row(),
    "herding": Row(),
    "k_center": Row(),
    "k_means": Row(prefix=False),  # as many clusters as the budget
    "facility_location": Row(),
    "deduplication": Row(),
    "d2": Row(),
    "influence": Row(prefix=False),  # each target votes for as many as the budget
    "mixed": Row(options={"parts": ((Hardest("loss"), 0.5), (Random(), 0.3), (KCenter(), 0.2))}),
}
SELECTORS = {name: registry.SELECTORS[name](**row.options) for name, row in ROWS.items()}
SELECTORS |= {f"balanced {name}": ClassBalanced(selector) for name, selector in list(SELECTORS.items())}
PREFIX = [name for name in SELECTORS if ROWS[name.removeprefix("balanced ")].prefix]

N = 40
SCORES = ("gradient_norm", "loss", "el2n", "forgetting")


def _signals(count: int = N, **changes: object) -> Signals:
    """Ids that are neither sorted nor consecutive, every signal, and nothing that can be written to."""
    rng = np.random.default_rng(0)
    arrays = {
        "ids": (rng.permutation(10 * count)[:count] + 1000).astype(np.int64),
        "embeddings": rng.normal(size=[count, 6]).astype(np.float32),
        "sketches": rng.normal(size=[count, 8]).astype(np.float32),
        "target_sketches": rng.normal(size=[7, 8]).astype(np.float32),
        "target_groups": np.array([0, 2, 2, 0, 5, 5, 5]),
        "labels": rng.choice([3, -1, 8], count, p=[0.6, 0.3, 0.1]),
    }
    scores = {name: rng.exponential(size=count).astype(np.float32) for name in SCORES}
    arrays, scores = arrays | changes, changes.get("scores", scores)
    for array in (*arrays.values(), *scores.values()):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return Signals(**{**arrays, "scores": scores})


def _select(name: str, signals: Signals, budget: int, seed: int = 0) -> np.ndarray:
    return SELECTORS[name](signals, budget, np.random.default_rng(seed))


every = pytest.mark.parametrize("name", SELECTORS)


def test_every_registered_selector_has_a_row():
    assert set(ROWS) == set(registry.SELECTORS)


@every
def test_it_is_a_selector_that_says_what_it_needs(name):
    selector = SELECTORS[name]
    assert isinstance(selector, Selector)
    assert set(selector.needs) <= {*SCORES, EMBEDDING, SKETCHES, LABELS}
    assert set(selector.scores) == set(selector.needs) & set(SCORES)


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


@pytest.mark.parametrize("name", [name for name in SELECTORS if not name.endswith("random")])
def test_it_is_not_random(name):
    prefix = "balanced " if name.startswith("balanced") else ""
    assert set(_select(name, _signals(), 17).tolist()) != set(_select(f"{prefix}random", _signals(), 17).tolist())


@pytest.mark.parametrize("name", PREFIX)
def test_a_smaller_budget_keeps_the_beginning_of_a_larger_one(name):
    whole = _select(name, _signals(), N).tolist()
    for budget in (1, 9, 30, N - 1):
        assert _select(name, _signals(), budget).tolist() == whole[:budget]


@every
def test_one_image_is_kept(name):
    signals = _signals(count=1)
    assert _select(name, signals, 1).tolist() == signals.ids.tolist()


@every
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e30])
def test_equal_scores_are_no_obstacle(name, value):
    signals = _signals(scores=dict.fromkeys(SCORES, np.full(N, value, np.float32)))
    kept = _select(name, signals, 10)
    assert len(set(kept.tolist())) == 10
    assert _select(name, signals, 10).tolist() == kept.tolist()


@every
@pytest.mark.parametrize("distinct", [1, 2, 5])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_embeddings_and_zeros_are_no_obstacle(name, distinct, value):
    rows = value * np.eye(6, dtype=np.float32)[:distinct]
    signals = _signals(
        embeddings=np.resize(rows, [N, 6]), sketches=np.resize(rows, [N, 6]), target_sketches=np.eye(7, 6)
    )
    for budget in (1, distinct, 10, N):
        kept = _select(name, signals, budget)
        assert len(set(kept.tolist())) == budget
        assert _select(name, signals, budget).tolist() == kept.tolist()


@every
@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_float_types_and_memory_maps_give_the_same(name, kind, tmp_path):
    """float16 holds these values exactly."""
    values = np.random.default_rng(3).integers(-8, 8, [N, 6])
    mapped = np.memmap(tmp_path / "embeddings", kind, "w+", shape=values.shape)
    mapped[:] = values
    expected = _select(name, _signals(embeddings=values.astype(np.float32)), 17)
    assert _select(name, _signals(embeddings=mapped), 17).tolist() == expected.tolist()


NEEDS = [(name, need) for name, selector in SELECTORS.items() for need in selector.needs]


def _without(signals: Signals, need: str) -> Signals:
    fields = {EMBEDDING: "embeddings", SKETCHES: "sketches", LABELS: "labels"}
    if need in fields:
        return dataclasses.replace(signals, **{fields[need]: None})
    return dataclasses.replace(signals, scores={key: value for key, value in signals.scores.items() if key != need})


@pytest.mark.parametrize(("name", "need"), NEEDS)
def test_a_signal_that_is_missing_is_an_error_of_one_line(name, need):
    with pytest.raises(InputError, match=r"Received: .*Expected: ") as caught:
        _select(name, _without(_signals(), need), 3)
    assert "\n" not in str(caught.value)


@every
def test_what_it_does_not_need_may_be_missing(name):
    signals = _signals()
    for need in {EMBEDDING, SKETCHES, LABELS, *SCORES} - set(SELECTORS[name].needs):
        signals = _without(signals, need)
    assert _select(name, signals, 7).tolist() == _select(name, _signals(), 7).tolist()


@pytest.mark.parametrize(("name", "need"), [(name, need) for name, need in NEEDS if need != LABELS])
def test_a_signal_that_is_not_a_number_is_an_error_naming_the_image(name, need):
    signals = _signals()
    wrong = [7, 20] if not name.startswith("balanced") else np.flatnonzero(signals.labels == 3)[[2, 5]]
    first = signals.ids[wrong[0]]
    if need in SCORES:
        values = signals.scores[need].copy()
        values[wrong] = np.nan
        signals, words = (
            _signals(scores={**signals.scores, need: values}),
            f"score {need} of image {first} is NaN.*2 such",
        )
    else:
        field = "embeddings" if need == EMBEDDING else "sketches"
        values = getattr(signals, field).copy()
        values[wrong, 1] = np.nan
        signals, words = _signals(**{field: values}), f"of image {first} holds NaN"
    with pytest.raises(InputError, match=words):
        _select(name, signals, 20)


@every
@pytest.mark.parametrize("budget", [0, -1, N + 1])
def test_a_budget_outside_1_to_n_is_an_error(name, budget):
    with pytest.raises(InputError, match=rf"budget is out of range.*Received: {budget}.*1 to {N} images"):
        _select(name, _signals(), budget)


def test_embeddings_of_another_shape_are_an_error():
    for wrong in (np.zeros([N - 1, 6]), np.zeros([N, 2, 3]), np.zeros(N)):
        with pytest.raises(InputError, match=r"embedding of each image.*Received: an array \(.*Expected: \[40, D\]"):
            _select("herding", _signals(embeddings=wrong), 3)


def test_random_keeps_every_image_equally_often():
    signals, kept = _signals(), np.zeros(N)
    positions = {int(number): position for position, number in enumerate(signals.ids)}
    for seed in range(400):
        for number in _select("random", signals, 10, seed).tolist():
            kept[positions[number]] += 1
    assert np.abs(kept - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)
