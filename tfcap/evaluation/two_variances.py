"""The distribution of a mean whose variance has two parts, each known from a sample of its own.

Source: Behrens 1929 and Fisher 1935, "The fiducial argument in statistical inference" (the sum of two scaled Student
variables); as a generalised pivotal quantity, Weerahandi 1993, "Generalized confidence intervals".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

_NODES, _LEFT_OUT = 64, 1e-12

Part = tuple[float, float]  # a variance and its degrees of freedom


def tail(distance: float, parts: Sequence[Part]) -> float:
    """Returns how probable it is that the sum over the parts of sqrt(variance) T(freedom) is farther from 0.

    Args:
      distance: at least 0.
      parts: one or two; those without variance count for nothing.

    Returns:
      Of one part, Student's two-sided p; of two, an integral over their chi-squares that is right to 1e-6 of itself
      down to 1e-8, and to 2e-4 where one has a single degree of freedom.
    """
    from scipy import stats

    parts = [part for part in parts if part[0] > 0]
    if not parts:
        return float(distance == 0)
    if len(parts) == 1:
        variance, freedom = parts[0]
        return float(2 * stats.t.sf(distance / variance**0.5, freedom))
    (one, freedom), (other, others_freedom) = parts
    ratios, weights = _inverse_chi_squares(freedom)
    others_ratios, others_weights = _inverse_chi_squares(others_freedom)
    deviations = np.sqrt(one * ratios[:, None] + other * others_ratios)  # of the normal that the sum is by then
    return float(weights @ (2 * stats.norm.sf(distance / deviations)) @ others_weights)


def half_width(level: float, parts: Sequence[Part]) -> float:
    """Returns the distance from 0 within which the sum of `tail` lies with probability `level`."""
    from scipy import optimize, stats

    farthest = sum(variance**0.5 * stats.t.ppf(0.5 + level / 2, freedom) for variance, freedom in parts if variance > 0)
    if farthest == 0:
        return 0.0
    return float(optimize.brentq(lambda distance: tail(distance, parts) - (1 - level), 0, 1.01 * farthest))


@functools.lru_cache(maxsize=64)
def _inverse_chi_squares(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns values of freedom / chi-square and their probabilities: the trapezoid rule in the logarithm."""
    from scipy import stats

    law = stats.chi2(freedom)
    chi_squares = np.geomspace(law.ppf(_LEFT_OUT), law.isf(_LEFT_OUT), _NODES)
    weights = law.pdf(chi_squares) * chi_squares
    return freedom / chi_squares, weights / weights.sum()
