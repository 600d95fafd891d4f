"""Learning curves: laws found again, scipy's least squares, when there is no answer, coverage on simulated studies."""

import numpy as np
import pytest
from scipy import optimize

from tfcap.evaluation.learning_curve import fit, reached

FRACTIONS = np.array([0.1, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize(("limit", "scale", "exponent"), [(1.0, 0.2, 0.5), (2.0, 1.7, 0.05), (1.0, 0.01, 2.0)])
def test_a_law_without_noise_is_found_again(limit, scale, exponent):
    law = fit(FRACTIONS, limit - scale * FRACTIONS**-exponent)
    assert (law.limit, law.scale, law.exponent) == pytest.approx((limit, scale, exponent), rel=1e-3)
    target = 0.9 * (limit - scale)
    assert law.reaches(np.array(target)) == pytest.approx(((limit - target) / scale) ** (-1 / exponent), rel=1e-3)


def test_no_start_of_scipy_s_least_squares_ends_lower():
    rng = np.random.default_rng(0)
    for quality in 1 - 0.2 * FRACTIONS**-0.5 + rng.normal(0, 0.05, (8, 5)):

        def residuals(law, quality=quality):
            return law[0] - law[1] * FRACTIONS ** -law[2] - quality

        bounds = ([-10, 0, 0.01], [1000, 1000, 10])
        ends = [
            optimize.least_squares(residuals, [quality.max(), 0.1, start], bounds=bounds) for start in (0.02, 0.5, 4)
        ]
        ours = ((fit(FRACTIONS, quality).quality(FRACTIONS) - quality) ** 2).sum()
        assert ours <= 2 * min(end.cost for end in ends) * (1 + 1e-5)


def test_many_laws_at_once_are_those_one_by_one():
    several = 1 - 0.2 * FRACTIONS**-0.5 + np.random.default_rng(0).normal(0, 0.05, (6, 5))
    laws = fit(FRACTIONS, several)
    for k, quality in enumerate(several):
        assert fit(FRACTIONS, quality).exponent == pytest.approx(laws.exponent[k], rel=1e-3)
        assert fit(FRACTIONS, quality).quality(FRACTIONS) == pytest.approx(laws.quality(FRACTIONS)[k])


def test_quality_that_falls_has_a_level_law_that_reaches_what_is_below_it_only():
    law = fit(FRACTIONS, np.array([1.4, 1.3, 1.2, 1.1, 1.0]))
    assert law.scale == 0 and law.limit == pytest.approx(1.2)
    assert law.reaches(np.array(1.1)) == 0 and law.reaches(np.array(1.3)) == np.inf


def _cells(rng, quality, fractions=FRACTIONS, seeds=3, images=200, of_seeds=0.03, noise=0.3):
    """Returns a simulated study's scores by fraction; better captioners differ more between images."""
    shared = rng.normal(0, 0.6, images)
    return {
        float(fraction): mean * (1 + shared)
        + rng.normal(0, of_seeds, (seeds, 1))
        + rng.normal(0, noise, images)
        + rng.normal(0, noise, (seeds, images))
        for fraction, mean in zip(fractions, quality, strict=True)
    }


def test_a_study_of_many_images_says_where_its_law_is():
    rng = np.random.default_rng(0)
    found = reached(_cells(rng, 1 - 0.2 * FRACTIONS**-0.5, images=20_000, of_seeds=0.0), [0.95], resamples=50)[0.95]
    expected = (0.2 / (1 - 0.95 * 0.8)) ** 2
    assert found.fraction == pytest.approx(expected, abs=0.05) and not found.unknown
    assert found.low < found.fraction < found.high < found.low + 0.1


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_outside_of_the_fractions_tried_is_not_extrapolated(seeds):
    def answers(quality, share):
        studies = (_cells(np.random.default_rng(k), quality, seeds=seeds, of_seeds=0.0) for k in range(6))
        found = [reached(cells, [share], resamples=50)[share] for cells in studies]
        return [one for one in found if not one.unknown]  # every twentieth law is taken for none

    flat = answers(1 - 0.001 * FRACTIONS**-0.5, 0.5)
    assert len(flat) >= 4 and all((one.fraction, one.smallest, one.high) == (0.1, 0.1, 0.1) for one in flat)
    steep = answers(1 + 0.4 * np.log(FRACTIONS), 0.9999)
    assert len(steep) >= 4 and all(one.high == 1 and one.fraction > 0.8 for one in steep)


def test_where_there_is_no_answer_it_is_said():
    rng = np.random.default_rng(0)
    quality = 1 - 0.2 * FRACTIONS**-0.5
    few = reached(_cells(rng, quality[2:], FRACTIONS[2:]), [0.95])[0.95]
    assert few.unknown == "fewer than 4 fractions" and np.isnan([few.fraction, few.low, few.high]).all()
    assert reached(_cells(rng, quality[:4], FRACTIONS[:4]), [0.95])[0.95].unknown == "no cell of all the data"


def test_a_captioner_that_learnt_nothing_has_no_curve():
    nothing = reached({float(fraction): np.zeros((3, 50)) for fraction in FRACTIONS}, [0.95])[0.95]
    assert nothing.unknown == "all the data gave nothing" and np.isnan(nothing.fraction) and nothing.seeds == 3


def test_a_step_is_no_power_law_and_has_the_fractions_around_it():
    rng = np.random.default_rng(0)
    cells = _cells(rng, [0.1, 0.1, 0.1, 1.0, 1.0], of_seeds=0.005, noise=0.05)
    found = reached(cells, [0.5, 0.05], resamples=200)
    assert found[0.5].unknown == "not a power law" and np.isnan(found[0.5].fraction)
    assert (found[0.5].low, found[0.5].high) == (0.5, 0.75)
    assert (found[0.05].low, found[0.05].high) == (0.1, 0.1)


def _coverage(studies, seed):
    rng, quality = np.random.default_rng(seed), 1.2 - 0.2 * FRACTIONS**-0.5
    truth = (0.2 / (1.2 - 0.95)) ** 2
    found = [reached(_cells(rng, quality), [0.95], resamples=200, seed=k)[0.95] for k in range(studies)]
    answered = [one for one in found if not one.unknown]
    return np.mean([one.low <= truth <= one.high for one in answered]), len(answered) / studies


def test_the_interval_holds_the_fraction_in_simulated_studies():
    covered, answered = _coverage(60, 0)
    assert covered >= 0.88 and answered >= 0.85


@pytest.mark.slow
def test_the_interval_holds_the_fraction_at_its_level():
    covered, answered = _coverage(1000, 1)
    assert covered >= 0.93 and 0.9 <= answered <= 0.99  # every twentieth law is taken for none
