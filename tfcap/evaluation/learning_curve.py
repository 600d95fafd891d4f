"""Quality as a function of the fraction that is kept, and the fraction that is as good as all of it.

Source: Cortes et al. 1994, "Learning curves: asymptotic values and rate of convergence" (the power law with an
offset); Viering and Loog 2023, "The shape of learning curves: a review"; Golub and Pereyra 1973, "The differentiation
of pseudo-inverses and nonlinear least squares problems whose variables separate" (how it is fitted).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfcap.evaluation.confidence import interval, resampled_sums
from tfcap.evaluation.crossed import variance_parts, without_noise

LEAST_FRACTIONS = 4  # the law has three numbers
_MISFIT = 0.05
_EXPONENTS = np.geomspace(0.01, 10, 61)
_FINER, _ZOOMS = 11, 4


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """The law q(f) = limit - scale f^-exponent. The number of examples that fraction 1 has only changes the scale.

    Attributes:
      limit, scale, exponent: [...] float64 each; scale at least 0, exponent from 0.01 (about a logarithm) to 10.
    """

    limit: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray

    def quality(self, fractions: np.ndarray) -> np.ndarray:
        """Returns [..., F], what the law says at fractions [F]."""
        return self.limit[..., None] - self.scale[..., None] * _powers(fractions, self.exponent)

    def reaches(self, quality: np.ndarray) -> np.ndarray:
        """Returns [...], the fraction at which the law reaches a quality [...]; infinity where it never does."""
        short = self.limit - quality
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = (self.scale / short) ** (1 / self.exponent)
        return np.where(short > 0, found, np.inf)


def fit(fractions: np.ndarray, quality: np.ndarray) -> LearningCurve:
    """Returns the laws with the least squares, none of which falls as the fraction rises.

    Given the exponent, the best limit and scale are a straight line; so only the exponent is searched, over all of
    its range and then finer around the best. This finds the global minimum, whatever the noise.

    Args:
      fractions: [F] in (0, 1], at least three, all different.
      quality: [..., F], one law each.
    """
    centred = quality - quality.mean(axis=-1, keepdims=True)
    exponent = _EXPONENTS[np.argmax(_explained(fractions, centred, _EXPONENTS), axis=-1)]
    step = _EXPONENTS[1] / _EXPONENTS[0]
    for _ in range(_ZOOMS):
        around = exponent[..., None] * step ** np.linspace(-1, 1, _FINER)
        exponents = np.clip(around, _EXPONENTS[0], _EXPONENTS[-1])
        best = np.argmax(_explained(fractions, centred, exponents), axis=-1)
        exponent = np.take_along_axis(exponents, best[..., None], axis=-1)[..., 0]
        step = step ** (2 / (_FINER - 1))
    powers = _powers(fractions, exponent)
    shape = powers - powers.mean(axis=-1, keepdims=True)
    scale = np.maximum(0, -(centred * shape).sum(axis=-1) / (shape**2).sum(axis=-1))
    return LearningCurve(quality.mean(axis=-1) + scale * powers.mean(axis=-1), scale, exponent)


def _powers(fractions: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    return np.asarray(fractions) ** -exponent[..., None]


def _explained(fractions: np.ndarray, centred: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Returns [..., C]: the squares that the best rising line in f^-c explains of centred quality [..., F].

    Args:
      exponents: [C], or [..., C] of each law.
    """
    shapes = _powers(fractions, exponents)  # [..., C, F]
    shapes = shapes - shapes.mean(axis=-1, keepdims=True)
    along = -(shapes @ centred[..., None])[..., 0]
    return np.maximum(0, along) ** 2 / (shapes**2).sum(axis=-1)


@dataclasses.dataclass(frozen=True)
class Reached:
    """The fraction of the data that gives a share of the full data's quality, with its 95 % interval.

    Attributes:
      fraction, low, high: from `smallest`, which then means that much or less, to 1, which means that it is not reached
        below all of the data. Where the law does not hold, `fraction` is NaN and low and high are the neighbours tried
        between which the means first reach it; all are NaN where nothing can be said.
      smallest: the smallest fraction tried; the law is not asked about smaller ones.
      unknown: why there is no number; empty where there is one.
      seeds: the fewest that a fraction has; of one, the interval says nothing of other seeds.
    """

    fraction: float
    low: float
    high: float
    smallest: float
    unknown: str = ""
    seeds: int = 1


def reached(
    cells: Mapping[float, np.ndarray], shares: Sequence[float], resamples: int = 1000, seed: int = 0
) -> dict[float, Reached]:
    """Returns where the learning curve reaches each share of the mean quality that all of the data give.

    The interval is the bootstrap's over images, the same for all fractions, with seeds drawn from their law: three
    seeds drawn from three would vary too little. So each resample adds to each fraction's mean a normal error whose
    variance, one for all fractions, is drawn as its chi-square has it. Of one seed, neither the interval nor the test
    of the law says anything of other seeds.
    Source: Efron 1981 (the percentile interval); Davison and Hinkley 1997, Bootstrap Methods and their Application,
    ch. 3.8 (hierarchical data).

    Args:
      cells: the scores [S, N] of S seeds on the same N images at each fraction, 1 among them.
      shares: of the full data's mean, in (0, 1).

    Returns:
      By share the fraction, or why there is none: no cell of all the data or none that learnt anything, fewer than
      four fractions, or means that differ from the law by more than their errors explain (the bootstrap's p below
      0.05).
    """
    if 1 not in cells:
        return dict.fromkeys(shares, _unknown(cells, "no cell of all the data"))
    if cells[1].mean() <= 0:
        return dict.fromkeys(shares, _unknown(cells, "all the data gave nothing"))
    if len(cells) < LEAST_FRACTIONS:
        return dict.fromkeys(shares, _unknown(cells, f"fewer than {LEAST_FRACTIONS} fractions"))
    fractions = np.array(sorted(cells))  # [F], the last is 1
    means = np.array([cells[fraction].mean() for fraction in fractions])
    errors = _errors([cells[fraction] for fraction in fractions], resamples, seed)  # [R, F]
    law = fit(fractions, means)
    if _misfit(fractions, means, law, errors) < _MISFIT:
        return {share: _between(cells, fractions, means, share) for share in shares}
    draws = means + errors
    laws = fit(fractions, draws)
    found = {}
    for share in shares:
        value = float(np.clip(law.reaches(share * means[-1]), fractions[0], 1))
        drawn = np.clip(laws.reaches(share * draws[:, -1]), fractions[0], 1)
        low, high = interval(drawn)
        found[share] = Reached(value, low, high, float(fractions[0]), seeds=_seeds(cells))
    return found


def _unknown(cells: Mapping[float, np.ndarray], why: str) -> Reached:
    nothing = float("nan")
    return Reached(nothing, nothing, nothing, min(cells), why, _seeds(cells))


def _seeds(cells: Mapping[float, np.ndarray]) -> int:
    return min(len(cell) for cell in cells.values())


def _between(cells: Mapping[float, np.ndarray], fractions: np.ndarray, means: np.ndarray, share: float) -> Reached:
    first = int(np.argmax(means >= share * means[-1]))
    low, high = fractions[max(0, first - 1)], fractions[first]
    return Reached(float("nan"), float(low), float(high), float(fractions[0]), "not a power law", _seeds(cells))


def _errors(cells: list[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """Returns errors [R, F] of the mean of each cell [S, N], as new images and new seeds would make them."""
    of_images = np.stack([cell.mean(axis=0) for cell in cells], axis=1)  # [N, F]
    errors = resampled_sums(of_images - of_images.mean(axis=0), resamples, seed) / len(of_images)
    freedoms = np.array([len(cell) - 1 for cell in cells])
    if not freedoms.any():
        return errors
    own = [float(cell.mean(axis=1).var(ddof=1)) for cell in cells if len(cell) > 1]
    shared = float(np.average(own, weights=freedoms[freedoms > 0]))
    variances = np.array([_of_seeds(cell, shared, freedoms.sum()) for cell in cells])  # [F]
    rng = np.random.default_rng([seed, 1])
    ratios = freedoms.sum() / rng.chisquare(freedoms.sum(), (resamples, 1))
    return errors + rng.normal(size=errors.shape) * np.sqrt(variances * ratios)


def _of_seeds(cell: np.ndarray, shared: float, freedom: float) -> float:
    parts = variance_parts(cell, shared, freedom)
    return without_noise(parts[-1]).variance if parts else shared / len(cell)


def _misfit(fractions: np.ndarray, means: np.ndarray, law: LearningCurve, errors: np.ndarray) -> float:
    """Returns how often the law, had it made the means, would fit them worse than it does."""
    distance = ((means - law.quality(fractions)) ** 2).sum()
    made = law.quality(fractions) + errors
    return float(np.mean(((made - fit(fractions, made).quality(fractions)) ** 2).sum(axis=-1) >= distance))
