"""Paired differences against scipy's tests and least squares, their error rates on simulated studies, Holm by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tfcap.evaluation.comparisons import differences, holm


def _by_seed(values):
    return {str(seed): row for seed, row in enumerate(values)}


def test_two_methods_whose_images_agree_are_the_paired_t_test_over_seeds():
    one, other = np.array([0.9, 1.0, 1.3]), np.array([1.1, 1.5, 1.4])
    found = differences(_by_seed(np.repeat(one[:, None], 40, 1)), {"a": _by_seed(np.repeat(other[:, None], 40, 1))})
    expected = stats.ttest_rel(other, one)
    assert found["a"].value == pytest.approx((other - one).mean())
    assert found["a"].p == found["a"].corrected == pytest.approx(expected.pvalue)
    assert (found["a"].low, found["a"].high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_one_seed_is_not_tested_whatever_its_images_say():
    one = np.random.default_rng(0).normal(1.0, 0.5, 40)
    found = differences(_by_seed([one]), {"a": _by_seed([one + 5])})["a"]
    assert np.isnan([found.p, found.corrected]).all() and not found.significant() and found.seeds == 1
    assert found.value == pytest.approx(5)


def test_the_error_of_an_incomplete_layout_is_what_methods_and_seeds_leave():
    means = np.array([[1.0, 1.3, 0.9], [1.2, 1.7, np.nan], [1.1, np.nan, 1.3]])  # the baseline first
    rest = means.copy()
    for _ in range(200):  # taking away means of rows and of columns in turn ends at the least squares
        rest -= np.nanmean(rest, axis=1, keepdims=True)
        rest -= np.nanmean(rest, axis=0)
    error = np.nansum(rest**2) / (7 - 3 - 3 + 1)
    rows = [{str(seed): np.full(20, mean) for seed, mean in enumerate(row) if mean == mean} for row in means]
    found = differences(rows[0], {"a": rows[1], "b": rows[2]})
    t = np.mean([0.2, 0.4]) / error**0.5  # a difference has twice the error, the mean of two of them half of that
    assert found["a"].p == pytest.approx(2 * stats.t.sf(t, 2))


def test_the_error_of_several_methods_is_that_of_methods_by_seeds():
    means = np.random.default_rng(0).normal(1.0, 0.2, (4, 3))  # of four methods, the baseline first, and three seeds
    design = np.array([[m == k for k in range(4)] + [s == k for k in range(3)] for m in range(4) for s in range(3)])
    fitted = design @ np.linalg.lstsq(design.astype(float), means.ravel(), rcond=None)[0]
    error = ((means.ravel() - fitted) ** 2).sum() / 6
    first, *others = [_by_seed(np.repeat(row[:, None], 20, 1)) for row in means]
    found = differences(first, dict(zip("abc", others, strict=True)))
    for name, row in zip("abc", means[1:], strict=True):
        t = (row.mean() - means[0].mean()) / (2 * error / 3) ** 0.5
        assert found[name].p == pytest.approx(2 * stats.t.sf(abs(t), 6))


def test_what_a_seed_does_to_all_methods_does_not_count():
    values = np.random.default_rng(0).normal(1.0, 0.5, (3, 3, 50))  # methods, seeds, images
    moved = values + np.array([5.0, -3.0, 0.0])[:, None]
    one, other = (differences(_by_seed(of[0]), {"a": _by_seed(of[1]), "b": _by_seed(of[2])}) for of in (values, moved))
    assert one["a"].p == pytest.approx(other["a"].p) and one["b"].low == pytest.approx(other["b"].low)


def test_a_method_that_lacks_seeds_is_compared_on_those_it_has():
    values = np.random.default_rng(0).normal(1.0, 0.5, (3, 3, 50))
    baseline, whole = _by_seed(values[0]), _by_seed(values[1])
    found = differences(baseline, {"whole": whole, "part": {"2": values[2, 2]}, "none": {"7": values[2, 0]}})
    assert set(found) == {"whole", "part"}
    assert found["part"].seeds == 1
    assert found["part"].value == pytest.approx((values[2, 2] - values[0, 2]).mean())
    assert np.isfinite(found["part"].p)  # by what the others say of seeds
    assert found["whole"].p == pytest.approx(differences(baseline, {"whole": whole})["whole"].p)


def _found(rng, methods, effect=0.0, images=60, seeds=3, failed=False):
    """Returns the differences of a simulated study; the last method differs by `effect`, a failed one lacks a seed."""
    shared, of_seeds = rng.normal(0, 0.8, images), rng.normal(0, 0.1, (seeds, 1))
    of_cells, noise = rng.normal(0, 0.1, (methods + 1, seeds, 1)), rng.normal(0, 0.4, (methods + 1, seeds, images))
    values = shared + of_seeds + of_cells + noise
    values[-1] += effect
    rows = [_by_seed(row) for row in values]
    if failed:
        del rows[-1][str(seeds - 1)]
    return list(differences(rows[0], {str(name): row for name, row in enumerate(rows[1:])}).values())


def _p_values(rng, methods, **more):
    return [one.p for one in _found(rng, methods, **more)]


def test_no_difference_is_found_five_times_in_a_hundred_and_a_greater_one_more_often():
    rng = np.random.default_rng(0)
    rates = [
        np.mean([np.array(_p_values(rng, 2, effect=effect)) < 0.05 for _ in range(100)], axis=0)
        for effect in (0.0, 0.2, 0.5)
    ]
    assert 0.02 <= np.mean([unchanged for unchanged, _ in rates]) <= 0.08
    assert rates[0][1] <= 0.1 and rates[0][1] + 0.1 < rates[1][1] < rates[2][1] - 0.1 and rates[2][1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("methods", [1, 4, 15])
def test_the_errors_of_one_test_and_after_holm_of_the_family_are_five_per_cent(methods):
    rng = np.random.default_rng(methods)
    p = np.array([_p_values(rng, methods) for _ in range(1500)])
    assert 0.03 <= np.mean(p < 0.05) <= 0.065
    assert np.mean([holm(row).min() < 0.05 for row in p]) <= 0.065


@pytest.mark.parametrize("methods", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failed_cell_makes_no_difference_out_of_nothing(methods):
    rng = np.random.default_rng(0)
    p = np.array([_p_values(rng, methods, failed=True) for _ in range(300)])
    assert 0.005 <= np.mean(p < 0.05) <= 0.09  # images alone would say 0.5 and more


@pytest.mark.slow
@pytest.mark.parametrize(("methods", "seeds"), [(1, 3), (4, 3), (4, 5)])
def test_the_interval_of_a_difference_covers_93_to_97_per_cent(methods, seeds):
    rng = np.random.default_rng(methods)
    found = [one for _ in range(2000 // methods) for one in _found(rng, methods, seeds=seeds)]
    assert 0.93 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.97


def test_holm_of_a_table_worked_by_hand():
    # Ascending: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9, 0.4]) == pytest.approx([1, 1, 1])
    assert holm([]).shape == (0,)
    assert holm([float("nan"), 0.01, 0.04]) == pytest.approx([float("nan"), 0.02, 0.04], nan_ok=True)


def test_holm_is_the_closed_test_with_bonferroni_s():
    p = np.random.default_rng(0).uniform(0, 0.3, 5)
    subsets = [list(chosen) for size in range(1, 6) for chosen in itertools.combinations(range(5), size)]
    closed = [max(min(1, len(some) * p[some].min()) for some in subsets if i in some) for i in range(5)]
    assert holm(p) == pytest.approx(closed)
