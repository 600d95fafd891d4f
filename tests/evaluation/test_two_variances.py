"""The sum of two scaled Student variables against scipy's law of one of them and against numerical integration."""

import numpy as np
import pytest
from scipy import integrate, stats

from tfcap.evaluation.two_variances import Part, half_width, tail


@pytest.mark.parametrize("parts", [[Part(0.25, 2)], [Part(0.0, 3), Part(0.25, 2)], [Part(0.25, 2), Part(0.0, 90)]])
def test_one_part_is_student_s_law(parts):
    assert tail(1.3, parts) == pytest.approx(2 * stats.t.sf(2.6, 2))
    assert half_width(0.95, parts) == pytest.approx(0.5 * stats.t.ppf(0.975, 2))


@pytest.mark.parametrize(
    ("one", "other"), [((1.0, 2), (1.0, 249)), ((0.01, 2), (1.0, 99)), ((1.0, 2), (0.01, 30)), ((0.3, 4), (0.5, 8))]
)
@pytest.mark.parametrize("distance", [1.0, 3.0, 10.0])
def test_two_parts_agree_with_an_integral_over_one_of_them(one, other, distance):
    def joint(x):
        return 2 * stats.t.sf((distance - other[0] ** 0.5 * x) / one[0] ** 0.5, one[1]) * stats.t.pdf(x, other[1])

    expected, _ = integrate.quad(joint, -np.inf, np.inf, limit=500, epsabs=1e-13)
    assert tail(distance, [Part(*one), Part(*other)]) == pytest.approx(expected, rel=2e-6, abs=1e-11)


@pytest.mark.parametrize("distance", [1.0, 3.0, 30.0])
def test_a_single_degree_of_freedom_is_right_to_what_is_said(distance):
    def joint(x):
        return 2 * stats.t.sf(distance - 0.3 * x, 1) * stats.t.pdf(x, 99)

    expected, _ = integrate.quad(joint, -60, 60, limit=500, epsabs=1e-13)
    assert tail(distance, [Part(1.0, 1), Part(0.09, 99)]) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("images", [Part(0.0, 99), Part(0.3, 99)])
@pytest.mark.parametrize("distance", [0.5, 1.5])
def test_noise_is_taken_off_after_the_chi_square_is_drawn(images, distance):
    rng = np.random.default_rng(0)
    variance = np.maximum(0, 0.5 * 3 / rng.chisquare(3, 400_000) - 0.4)
    of_images = images.variance * 99 / rng.chisquare(99, 400_000)
    drawn = rng.normal(size=400_000) * np.sqrt(variance + of_images)
    expected = np.mean(np.abs(drawn) > distance)
    assert tail(distance, [images, Part(0.5, 3, 0.4)]) == pytest.approx(expected, abs=0.003)
    assert expected < tail(distance, [images, Part(0.5, 3)]) - 0.03


@pytest.mark.parametrize("of_images", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("freedom", [1, 2, 14])
def test_what_noise_leaves_agrees_with_an_integral_over_both_sides_of_the_kink(of_images, noise, freedom):
    law, distance = stats.chi2(freedom), 0.7

    def given(logarithm):
        chi_square = np.exp(logarithm)
        variance = max(0.0, 0.5 * freedom / chi_square - noise) + of_images
        beyond = 2 * stats.norm.sf(distance / variance**0.5) if variance else 0.0
        return beyond * law.pdf(chi_square) * chi_square

    ends = np.log([law.ppf(1e-14), 0.5 * freedom / noise, max(law.isf(1e-14), freedom / noise)])
    halves = [integrate.quad(given, *side, limit=400, epsabs=1e-12)[0] for side in (ends[:2], ends[1:])]
    parts = [Part(of_images, 1e9), Part(0.5, freedom, noise)]
    assert tail(distance, parts) == pytest.approx(sum(halves), abs=1e-4)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_half_width_leaves_out_what_it_says(level):
    parts = [Part(0.4, 2), Part(0.2, 99, 0.1)]
    assert tail(half_width(level, parts), parts) == pytest.approx(1 - level, rel=1e-6)


def test_without_variance_there_is_no_doubt():
    nothing = Part(0.0, 2)
    assert half_width(0.95, [nothing, nothing]) == 0
    assert (tail(0.0, [nothing]), tail(1e-9, [nothing])) == (1, 0)
