"""Relative costs against Welch's interval by hand, and how much a validation curve rises at its end."""

import numpy as np
import pytest
from scipy import stats

from tfcap.evaluation.costs import late_rise, relative_cost


def test_the_ratio_of_geometric_means_has_welch_s_interval():
    ours, theirs = np.array([30.0, 33.0, 28.0]), np.array([100.0, 120.0, 90.0])
    found = relative_cost(ours, theirs)
    logs = [np.log(ours), np.log(theirs)]
    parts = [of.var(ddof=1) / 3 for of in logs]
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5
    assert found.value == pytest.approx(stats.gmean(ours) / stats.gmean(theirs))
    assert np.log([found.low, found.high]) == pytest.approx(np.log(found.value) + np.array([-half, half]))


def test_one_seed_has_a_ratio_and_no_interval():
    found = relative_cost([30.0], [60.0, 60.0])
    assert (found.value, found.seeds) == (pytest.approx(0.5), 1) and np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("curve", "rise"),
    [
        ([0.5, 0.8, 0.8, 0.8, 0.9, 1.0], 0.2),
        ([0.5, 1.0, 0.9, 0.9, 0.9, 0.8], 0.0),
        ([None, 0.5, None, None, None, 1.0], 0.5),
        ([None, None, None, None, 0.9, 1.0], None),
        ([1.0], None),
        ([0.0, 0.0, 0.0], None),
        ([], None),
    ],
)
def test_the_late_rise(curve, rise):
    assert late_rise(curve) == (rise if rise is None else pytest.approx(rise))
