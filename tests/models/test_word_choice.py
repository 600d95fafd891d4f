"""What may follow and how it is drawn: nuclei and n-grams by their definitions, draws by their distribution."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tfcap.models.word_choice import draw, within_top_p, without, without_repeats

LOGITS = np.log(np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01], np.float32))
N = 20_000


def _draws(logits=LOGITS, seed=0, t=0, rows=None, xla=False) -> np.ndarray:
    rows = np.arange(N, dtype=np.int32) if rows is None else rows

    @tf.function(jit_compile=xla)
    def run(rows, t):
        return draw(tf.broadcast_to(tf.constant(logits), [len(rows), len(logits)]), seed, rows, t)

    return run(tf.constant(rows), tf.constant(t)).numpy()


def _p_value(found: np.ndarray, probabilities: np.ndarray) -> float:
    return scipy.stats.chisquare(np.bincount(found, minlength=len(probabilities)), probabilities * len(found)).pvalue


@pytest.mark.parametrize(("seed", "t"), [(0, 0), (0, 1), (1, 0), (2**31 - 1, 31)])
def test_words_are_drawn_with_their_probabilities(seed, t):
    probabilities = np.exp(LOGITS.astype(np.float64))
    assert _p_value(_draws(seed=seed, t=t), probabilities / probabilities.sum()) > 1e-3


def test_the_test_of_the_distribution_sees_a_small_error():
    wrong = np.exp(LOGITS.astype(np.float64)) + np.array([0.02, -0.02, 0, 0, 0, 0, 0])
    assert _p_value(_draws(), wrong / wrong.sum()) < 1e-3


@pytest.mark.parametrize("other", [{"t": 1}, {"seed": 1}, {"rows": np.arange(1, N + 1, dtype=np.int32)}])
def test_draws_of_other_steps_seeds_and_rows_are_independent(other):
    table = np.zeros([len(LOGITS), len(LOGITS)])
    np.add.at(table, (_draws(), _draws(**other)), 1)
    assert scipy.stats.chi2_contingency(table[:5, :5]).pvalue > 1e-3


def test_many_words_are_drawn_with_their_probabilities():
    logits = np.random.default_rng(0).normal(0, 1, 500).astype(np.float32)
    probabilities = np.exp(logits.astype(np.float64))
    assert _p_value(_draws(logits), probabilities / probabilities.sum()) > 1e-3


def test_draws_are_equal_alone_and_under_xla():
    rows = np.array([5, 17, 4, 123_456, 0], np.int32)
    found = _draws(rows=rows, t=3)
    assert len(set(found)) > 1
    np.testing.assert_array_equal(_draws(rows=rows, t=3, xla=True), found)
    np.testing.assert_array_equal([_draws(rows=rows[i : i + 1], t=3)[0] for i in range(5)], found)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("logit", [-1e4, -np.inf])
def test_no_word_has_infinite_noise(logit, xla):
    """The 24 highest bits of this one are all 1, and with a half more no float32 is between them and 2**24."""
    word, rows = 42126, np.array([4], np.int32)
    logits = np.zeros(50257, np.float32)
    assert _draws(logits, t=11, rows=rows, xla=xla) == word  # its noise is the largest that there is
    logits[word] = logit
    assert _draws(logits, t=11, rows=rows, xla=xla) != word


def test_drawn_from_the_nucleus_words_have_its_renormalised_probabilities():
    kept = within_top_p(tf.constant(LOGITS[None]), 0.75)[0].numpy()
    assert np.isfinite(kept).tolist() == [True] * 3 + [False] * 4  # 0.4 + 0.25 is too little
    found = _draws(kept)
    assert set(found) == {0, 1, 2}
    assert _p_value(found, np.array([0.4, 0.25, 0.15]) / 0.8) > 1e-3


@pytest.mark.parametrize(("top_p", "words"), [(1e-6, 1), (0.39, 1), (0.41, 2), (0.9, 4), (0.985, 6), (1.0, 7)])
def test_the_nucleus_is_the_smallest_set_of_that_probability(top_p, words):
    order = np.random.default_rng(0).permutation(7)
    kept = within_top_p(tf.constant(LOGITS[None, order]), top_p)[0].numpy()
    np.testing.assert_array_equal(np.isfinite(kept), order < words)
    np.testing.assert_array_equal(kept[order < words], LOGITS[order][order < words])


def test_a_forbidden_word_is_outside_every_nucleus():
    scores = without(tf.constant(LOGITS[None]), (0, 3))
    for top_p in (0.5, 0.999, 1.0):
        kept = within_top_p(scores, top_p)[0].numpy()
        assert not np.isfinite(kept[[0, 3]]).any() and np.isfinite(kept[1])


def test_one_word_alone_is_kept_and_drawn():
    scores = without(tf.constant(LOGITS[None]), (0, 1, 2, 4, 5, 6))
    assert set(_draws(within_top_p(scores, 0.5)[0].numpy())) == {3}


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize(
    ("size", "forbidden"), [(0, set()), (1, {1, 2, 3}), (2, {2, 3}), (3, {2, 3}), (4, set()), (5, set()), (9, set())]
)
def test_the_word_that_would_repeat_an_n_gram_is_forbidden(size, forbidden, xla):
    """After 2 1 2 1 3 2 1: both 1 and 2 1 were followed by 2 and by 3."""
    tokens = tf.constant([[2, 1, 2, 1, 3, 2, 1, 0, 0, 0]])

    @tf.function(jit_compile=xla)
    def run(t):
        return without_repeats(tf.zeros([1, 5]), tokens, t, size)

    found = run(tf.constant(7)).numpy()[0]
    assert set(np.flatnonzero(np.isneginf(found)).tolist()) == forbidden
    assert set(found[np.isfinite(found)]) == {0.0}


def test_rows_forbid_their_own_words_alone():
    tokens = tf.constant([[1, 2, 1, 0], [1, 3, 1, 0], [1, 3, 2, 0]])
    found = without_repeats(tf.zeros([3, 4]), tokens, tf.constant(3), 2).numpy()
    assert [np.flatnonzero(np.isneginf(row)).tolist() for row in found] == [[2], [3], []]
