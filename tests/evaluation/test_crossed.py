"""The mean over seeds and images against closed forms, and its interval against simulated studies."""

import numpy as np
import pytest
from scipy import stats

from tfcap.evaluation.crossed import mean_over_seeds, variance_parts, without_noise
from tfcap.evaluation.two_variances import Part, tail


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


def test_the_interval_leaves_out_the_five_per_cent_of_its_law():
    values = np.random.default_rng(0).normal(1.0, 0.5, (3, 60)) + np.array([[0.3], [0.0], [-0.2]])
    found = mean_over_seeds(values)
    parts = [without_noise(part) for part in variance_parts(values, values.mean(axis=1).var(ddof=1), 2)]
    assert tail(found.high - found.value, parts) == pytest.approx(0.05)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_the_parts_are_those_of_the_two_way_layout():
    values = np.random.default_rng(0).normal(1.0, 0.5, (4, 30)) + np.array([[0.9], [0.0], [-0.9], [0.4]])
    design = np.array([[s == k for k in range(4)] + [i == k for k in range(30)] for s in range(4) for i in range(30)])
    _, _, rank, _ = np.linalg.lstsq(design.astype(float), values.ravel(), rcond=None)
    fitted = design @ np.linalg.lstsq(design.astype(float), values.ravel(), rcond=None)[0]
    noise = ((values.ravel() - fitted) ** 2).sum() / (values.size - rank)
    of_seeds = values.mean(axis=1).var(ddof=1)
    images, seeds = variance_parts(values, of_seeds, 3)
    assert images == pytest.approx((values.mean(axis=0).var(ddof=1) / 30, 29, 0))
    assert seeds == pytest.approx((of_seeds / 4, 3, noise / 120))
    assert without_noise(seeds) == pytest.approx((of_seeds / 4 - noise / 120, 3, 0))
    assert without_noise(Part(0.1, 3.0, 0.2)).variance == 0 and without_noise(Part(0.3, 1.0, 0.2)).variance == 0.3


def _coverage(studies, seeds, images, of_seeds, of_noise=0.5, skewed=False):
    """Returns in which part of simulated studies the interval holds the truth, which is 0."""
    rng, hits = np.random.default_rng([seeds, images, round(100 * of_seeds)]), 0
    for _ in range(studies):
        shared = 0.8 * (rng.gamma(1, 1, images) - 1 if skewed else rng.normal(0, 1, images))
        means = rng.normal(0, of_seeds, (seeds, 1))
        values = means + shared + rng.normal(0, of_noise, (seeds, images))
        parts = [without_noise(part) for part in variance_parts(values, values.mean(axis=1).var(ddof=1), seeds - 1)]
        hits += tail(abs(values.mean()), parts) >= 0.05
    return hits / studies


@pytest.mark.parametrize("of_seeds", [0.0, 0.1, 0.3])
def test_the_interval_covers_the_truth_as_often_as_it_says(of_seeds):
    assert 0.93 <= _coverage(1500, 3, 100, of_seeds) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("images", [100, 1000])
@pytest.mark.parametrize("of_seeds", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0])  # images make 0.08 and 0.025 of the error
def test_the_interval_of_three_seeds_covers_93_to_97_per_cent_whatever_part_prevails(images, of_seeds):
    assert 0.93 <= _coverage(10_000, 3, images, of_seeds) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{"skewed": True}, {"of_noise": 3.0}, {"seeds": 5}, {"seeds": 10}, {"skewed": True, "images": 250}]
)
@pytest.mark.parametrize("of_seeds", [0.05, 0.2])
def test_it_does_so_for_skewed_scores_much_noise_and_more_seeds(more, of_seeds):
    assert 0.93 <= _coverage(**{"studies": 10_000, "seeds": 3, "images": 100, "of_seeds": of_seeds, **more}) <= 0.97


def test_a_single_image_has_no_interval():
    found = mean_over_seeds(np.array([[0.5], [0.7]]))
    assert found.value == pytest.approx(0.6) and np.isnan([found.low, found.high]).all()
