"""The mean over seeds and images against closed forms, and its interval against simulated studies."""

import numpy as np
import pytest
from scipy import stats

from tfcap.evaluation.crossed import mean_over_seeds


def test_one_seed_is_student_s_interval_over_images():
    values = np.random.default_rng(0).normal(1.0, 0.5, (1, 40))
    found = mean_over_seeds(values)
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values[0]))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_seeds_that_agree_on_every_image_add_nothing():
    once = np.random.default_rng(0).normal(1.0, 0.5, (1, 40))
    alike = mean_over_seeds(np.repeat(once, 3, axis=0))
    assert (alike.low, alike.high) == pytest.approx((mean_over_seeds(once).low, mean_over_seeds(once).high))


def test_images_that_agree_leave_student_s_interval_over_seeds():
    means = np.array([0.9, 1.0, 1.3])
    found = mean_over_seeds(np.repeat(means[:, None], 200, axis=1))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, means.mean(), stats.sem(means)))


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "least"), [(1, 0.0, 0.93), (3, 0.0, 0.93), (3, 0.05, 0.93), (3, 0.2, 0.91), (5, 0.2, 0.93)]
)
def test_the_interval_covers_the_truth_as_often_as_it_says(seeds, of_seeds, least):
    rng, hits = np.random.default_rng(seeds), []
    for _ in range(1000):
        shared, own = rng.normal(0, 0.8, (1, 100)), rng.normal(0, 0.5, (seeds, 100))
        found = mean_over_seeds(0.7 + rng.normal(0, of_seeds, (seeds, 1)) + shared + own)
        hits.append(found.low <= 0.7 <= found.high)
    assert least <= np.mean(hits) <= 0.985


def test_a_single_image_has_no_interval():
    found = mean_over_seeds(np.array([[0.5], [0.7]]))
    assert found.value == pytest.approx(0.6) and np.isnan([found.low, found.high]).all()
