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
      p: two-sided, of no difference; NaN where one seed alone was compared: any two trained captioners differ, so its
        images say nothing of the methods.
      corrected: p after Holm's correction over the family, equal to p until `holm` is applied.
    """

    p: float
    corrected: float

    def significant(self, level: float = 0.05) -> bool:
        """True where the family of tests has a difference here, at an error of `level` for the whole family."""
        return self.corrected < level  # never where it was not tested


def differences(baseline: ScoresBySeed, methods: Mapping[str, ScoresBySeed]) -> dict[str, Difference]:
    """Returns the mean difference of each method from the baseline, over the seeds that both have and all images.

    Differences are taken image by image and seed by seed. How much a seed's mean difference varies is estimated
    from all methods at once, as the error of the two-way layout methods x seeds: with M methods, the baseline
    among them, and S seeds it has (M - 1)(S - 1) degrees of freedom, where a method's own differences have S - 1; of
    two methods it is the paired t-test. Where methods lack seeds it is that of the layout's least squares. This
    supposes that seeds make all these methods vary alike; a method that varies more is called different too often.
    The p is of the law of `two_variances`, the images' noise taken off the seeds' error after its chi-square: taken off
    before, that error would be none at all too often, and of few methods' tests 7 to 9 % find what is not there.
    Source: Montgomery, Design and Analysis of Experiments, ch. 4 (randomised blocks, complete and not).

    Args:
      baseline: its scores of every image, by seed.
      methods: theirs, by name, without the baseline; one that has none of its seeds is left out.
    """
    error, freedom = _block_error([baseline, *methods.values()])
    found = {}
    for name, scores in methods.items():
        seeds = sorted(baseline.keys() & scores.keys())
        if not seeds:
            continue
        values = np.array([scores[seed] - baseline[seed] for seed in seeds])
        parts = variance_parts(values, 2 * error, freedom)
        p = tail(abs(float(values.mean())), parts) if len(parts) > 1 else float("nan")
        found[name] = Difference(**dataclasses.asdict(interval_of(values, parts)), p=p, corrected=p)
    return found


def _block_error(rows: Sequence[ScoresBySeed]) -> tuple[float, int]:
    """Returns the variance of a seed's mean score that neither method nor seed explains, and its freedom."""
    seeds = sorted({seed for row in rows for seed in row})
    there = [(method, place) for method, row in enumerate(rows) for place, seed in enumerate(seeds) if seed in row]
    means = np.array([rows[method][seeds[place]].mean() for method, place in there])
    of_method, of_seed = np.eye(len(rows)), np.eye(len(seeds))
    design = np.array([[*of_method[method], *of_seed[place]] for method, place in there])
    solution, _, rank, _ = np.linalg.lstsq(design, means, rcond=None)
    freedom = len(means) - int(rank)
    return (float(((means - design @ solution) ** 2).sum()) / freedom, freedom) if freedom else (0.0, 0)


def holm(p: Sequence[float]) -> np.ndarray:
    """Returns p values [K] corrected so that the smallest of them all is wrong at its own rate.

    NaN stays NaN and is none of the family.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure". It holds whatever the tests have
    in common, such as one baseline.
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    steps = values[order] * (np.isfinite(values).sum() - np.arange(len(values)))  # NaN is sorted to the end
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected
