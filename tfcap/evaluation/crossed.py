"""The mean over seeds and images, and how sure of it one can be: all seeds met the same images."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean with the bounds of its 95 % interval; of one seed, these say nothing of other seeds."""

    value: float
    low: float
    high: float
    seeds: int


def mean_over_seeds(values: np.ndarray, level: float = 0.95) -> Estimate:
    """Returns the mean of values [S, N] of S seeds on the same N images, and its interval for new seeds and images.

    The variance of the mean is (M_seeds + M_images - M_rest) / (S N) with the mean squares of a two-way layout, never
    taken below that of the images alone; the interval is Student's with Satterthwaite's degrees of freedom.
    Source: Brennan 2001, Generalizability Theory, ch. 2 and 6 (the crossed design p x i); Satterthwaite 1946.

    Args:
      level: that the interval is to cover.
    """
    from scipy import stats

    seeds, images = values.shape
    mean = float(values.mean())
    if images < 2:
        return Estimate(mean, float("nan"), float("nan"), seeds)
    of_images = float(values.mean(axis=0).var(ddof=1)) / images
    variance, freedom = of_images, images - 1.0
    if seeds > 1:
        rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + mean
        squares = np.array(
            [
                images * values.mean(axis=1).var(ddof=1),
                seeds * values.mean(axis=0).var(ddof=1),
                -float((rest**2).sum()) / ((seeds - 1) * (images - 1)),
            ]
        ) / (seeds * images)
        if squares.sum() > of_images:
            counts = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
            variance = float(squares.sum())
            freedom = variance**2 / float((squares**2 / counts).sum())
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * variance**0.5
    return Estimate(mean, mean - half, mean + half, seeds)
