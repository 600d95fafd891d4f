"""Bootstrap intervals: their coverage, their draws and the corpus scores made from sums."""

import numpy as np
import pytest

from tfcap.evaluation import confidence


def test_the_interval_of_a_mean_covers_it_at_its_level():
    samples = np.random.default_rng(0).normal(size=(200, 3000))  # 3,000 experiments with 200 images, true mean 0
    sums = confidence.resampled_sums(samples, resamples=1000, seed=1)
    low, high = np.percentile(sums / 200, [2.5, 97.5], axis=0)
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97
    assert (low[0], high[0]) == pytest.approx(confidence.interval(sums[:, 0] / 200), abs=1e-15)


def test_every_resample_draws_n_images_and_the_seed_decides_which():
    ones = np.ones((7, 1))
    assert np.all(confidence.resampled_sums(ones, 50, seed=0) == 7)
    values = np.arange(7.0)[:, None]
    first = confidence.resampled_sums(values, 50, seed=0)
    assert np.array_equal(first, confidence.resampled_sums(values, 50, seed=0))
    assert not np.array_equal(first, confidence.resampled_sums(values, 50, seed=1))


def test_blocks_do_not_change_the_draws(monkeypatch):
    values = np.random.default_rng(0).integers(9, size=(11, 3)).astype(float)
    whole = confidence.resampled_sums(values, 20, seed=3)
    monkeypatch.setattr(confidence, "_BLOCK_ENTRIES", 30)
    assert np.array_equal(whole, confidence.resampled_sums(values, 20, seed=3))


def test_one_image_has_an_interval_of_no_width():
    assert confidence.interval(confidence.resampled_sums(np.array([[0.25]]), 10, seed=0)[:, 0]) == (0.25, 0.25)


def test_bleu_of_known_counts():
    # 4 of 5 words, 2 of 4 bigrams, 1 of 3, 0 of 2; candidate 5 words, reference 6: brevity exp(1 - 6/5).
    brevity = np.exp(1 - 6 / 5)
    scores = confidence.bleu_from_sums(np.array([4, 2, 1, 0, 5, 4, 3, 2, 5, 6.0]))
    np.testing.assert_allclose(scores[:3], brevity * np.array([0.8, 0.4**0.5, (0.4 / 3) ** (1 / 3)]), rtol=1e-8)
    assert 0 <= scores[3] < 1e-3


def test_an_empty_candidate_has_bleu_zero_without_warnings():
    assert np.all(confidence.bleu_from_sums(np.array([[0, 0, 0, 0, 0, 0, 0, 0, 0, 6.0]])) < 1e-6)
