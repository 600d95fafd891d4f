"""Methods held against a baseline on the same test images with the same seeds, and Holm's correction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfcap.evaluation.crossed import Estimate, interval_of, variance_parts
from tfcap.evaluation.two_variances import tail

ScoresBySeed = Mapping[str, np.ndarray]  # [N] each, the same images for all seeds


@dataclasses.dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference with its 95 % interval, which is not corrected for how many differences are looked at.

    Attributes:
      p: two-sided, of no difference.
      corrected: p after Holm's correction over the family, equal to p until `holm` is applied.
    """

    p: float
    corrected: float

    def significant(self, level: float = 0.05) -> bool:
        """True where the family of tests has a difference here, at an error of `level` for the whole family."""
        return self.corrected < level


def differences(baseline: ScoresBySeed, methods: Mapping[str, ScoresBySeed]) -> dict[str, Difference]:
    """Returns the mean difference of each method from the baseline, over the seeds that both have and all images.

    Differences are taken image by image and seed by seed. How much a seed's mean difference varies is estimated
    from all methods at once, as the error of the two-way layout methods x seeds: with M methods, the baseline
    among them, and S seeds it has (M - 1)(S - 1) degrees of freedom, where a method's own differences have S - 1; of
    two methods it is the paired t-test. This supposes that seeds make all these methods vary alike; a method that
    varies more is called different too often. The p is of the law of `two_variances`.
    Source: Montgomery, Design and Analysis of Experiments, ch. 4 (the randomised complete block design).

    Args:
      baseline: its scores of every image, by seed.
      methods: theirs, by name, without the baseline. Those that lack one of the baseline's seeds are compared on
        the seeds that they have, and do not contribute to the error; one with none of them is left out.
    """
    rows = {name: scores for name, scores in methods.items() if scores.keys() >= baseline.keys()}
    error, freedom = _block_error([baseline, *rows.values()], sorted(baseline))
    found = {}
    for name, scores in methods.items():
        seeds = sorted(baseline.keys() & scores.keys())
        if not seeds:
            continue
        values = np.array([scores[seed] - baseline[seed] for seed in seeds])
        parts = variance_parts(values, 2 * error, freedom)
        p = tail(abs(float(values.mean())), parts) if parts else float("nan")
        found[name] = Difference(**dataclasses.asdict(interval_of(values, parts)), p=p, corrected=p)
    return found


def _block_error(rows: Sequence[ScoresBySeed], seeds: Sequence[str]) -> tuple[float, int]:
    """Returns the variance of a seed's mean score that neither method nor seed explains, and its freedom."""
    means = np.array([[row[seed].mean() for seed in seeds] for row in rows])  # [M, S]
    freedom = (means.shape[0] - 1) * (means.shape[1] - 1)
    if freedom < 1:
        return 0.0, 0
    rest = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    return float((rest**2).sum()) / freedom, freedom


def holm(p: Sequence[float]) -> np.ndarray:
    """Returns p values [K] corrected so that the smallest of them all is wrong at its own rate; NaN stays NaN.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure". It holds whatever the tests have
    in common, such as one baseline.
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    steps = values[order] * (len(values) - np.arange(len(values)))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected
