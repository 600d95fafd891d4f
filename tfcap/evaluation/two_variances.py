"""The distribution of a mean whose variance has two parts, each known from a sample of its own.

Source: Behrens 1929 and Fisher 1935, "The fiducial argument in statistical inference" (the sum of two scaled Student
variables); as a generalised pivotal quantity, Weerahandi 1993, "Generalized confidence intervals".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_NODES, _LEFT_OUT = 64, 1e-12


class Part(NamedTuple):
    """A variance, its degrees of freedom, and how much of it is noise that another part holds too.

    The noise is taken off what the variance's chi-square makes of it, and leaves at least 0: the pivotal quantity of a
    variance component (Weerahandi 1993) where the noise itself is well known.
    """

    variance: float
    freedom: float
    noise: float = 0.0


def tail(distance: float, parts: Sequence[Part]) -> float:
    """Returns how probable it is that the sum over the parts of sqrt(variance) T(freedom) is farther from 0.

    With noise, T's normal has the deviation sqrt(max(0, variance freedom / chi-square - noise)) instead.

    Args:
      distance: at least 0.
      parts: one or two; those without variance count for nothing.

    Returns:
      Of one part without noise, Student's two-sided p; else an integral over their chi-squares that is right to 2e-6 of
      itself down to 1e-8, to 2e-4 where one has a single degree of freedom, and to 1e-4 of 1 where there is noise.
    """
    from scipy import stats

    if distance == 0:
        return 1.0
    parts = [part for part in parts if part.variance > 0]
    if not parts:
        return 0.0
    if len(parts) == 1 and not parts[0].noise:
        return float(2 * stats.t.sf(distance / parts[0].variance ** 0.5, parts[0].freedom))
    one, other = [*parts, Part(0.0, 1.0)][:2]
    (variances, weights), (others_variances, others_weights) = _possible(one), _possible(other)
    deviations = np.sqrt(variances[:, None] + others_variances)  # of the normal that the sum is by then
    with np.errstate(divide="ignore"):
        return float(weights @ (2 * stats.norm.sf(distance / deviations)) @ others_weights)


def half_width(level: float, parts: Sequence[Part]) -> float:
    """Returns the distance from 0 within which the sum of `tail` lies with probability `level`."""
    from scipy import optimize, stats

    farthest = sum(part.variance**0.5 * stats.t.ppf(0.5 + level / 2, part.freedom) for part in parts if part.variance)
    if farthest == 0:
        return 0.0
    return float(optimize.brentq(lambda distance: tail(distance, parts) - (1 - level), 0, 1.01 * farthest))


def _possible(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a part's variance may truly be, and the probabilities of that.

    Where the noise is more than a chi-square leaves of the variance there is a kink: those have one value, 0, and Gauss
    and Legendre's rule goes over the others.
    """
    from scipy import stats

    ratios, weights = _inverse_chi_squares(part.freedom)
    if not part.noise or not part.variance:
        return part.variance * ratios, weights
    law = stats.chi2(part.freedom)
    kink = part.variance * part.freedom / part.noise
    low, high = np.log([law.ppf(_LEFT_OUT), np.clip(kink, 2 * law.ppf(_LEFT_OUT), law.isf(_LEFT_OUT))])
    nodes, widths = np.polynomial.legendre.leggauss(_NODES)
    chi_squares = np.exp((low + high + (high - low) * nodes) / 2)
    weights = np.append(law.pdf(chi_squares) * chi_squares * widths * (high - low) / 2, law.sf(kink))
    above = part.variance * part.freedom / chi_squares - part.noise
    return np.append(np.maximum(0.0, above), 0.0), weights / weights.sum()


@functools.lru_cache(maxsize=64)
def _inverse_chi_squares(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns values of freedom / chi-square and their probabilities: the trapezoid rule in the logarithm."""
    from scipy import stats

    law = stats.chi2(freedom)
    chi_squares = np.geomspace(law.ppf(_LEFT_OUT), law.isf(_LEFT_OUT), _NODES)
    weights = law.pdf(chi_squares) * chi_squares
    return freedom / chi_squares, weights / weights.sum()
