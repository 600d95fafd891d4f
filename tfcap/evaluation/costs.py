"""What keeping a part of the data costs beside training on all of it, and whether that training was long enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfcap.evaluation.crossed import Estimate

PLATEAU_RISE = 0.05  # of the best validation score


def relative_cost(seconds: Sequence[float], of_all: Sequence[float]) -> Estimate:
    """Returns what a cell costs as a part of what all of the data cost: 0.4 saves 60 %, 1.2 costs more than it saves.

    The ratio of geometric means over the seeds. Its interval is Welch's, of the difference of the logarithms; its
    bounds are NaN where either has one seed only.
    Source: Welch 1947, "The generalization of Student's problem when several different population variances are
    involved".

    Args:
      seconds: above 0, one a seed.
      of_all: likewise, of the cell with all of the data.
    """
    from scipy import stats

    ours, theirs = np.log(np.asarray(seconds, float)), np.log(np.asarray(of_all, float))
    ratio, few = float(np.exp(ours.mean() - theirs.mean())), min(len(ours), len(theirs))
    if few < 2:
        return Estimate(ratio, float("nan"), float("nan"), few)
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return Estimate(ratio, float(np.exp(interval.low)), float(np.exp(interval.high)), few)


def late_rise(curve: Sequence[float | None]) -> float | None:
    """Returns by which part of itself the best validation score rose in the last third of training.

    A training whose score still rises by more than `PLATEAU_RISE` is not near its plateau: it says what that many steps
    give, not what the data give. The learning rate falls to zero at the end of training, which flattens any curve;
    a rise that is small over the last third, in which the rate is still a quarter of its peak at first, is
    necessary for a plateau and no proof of one. The proof is a longer training.

    Args:
      curve: one value an epoch, None where the epoch was not validated.

    Returns:
      (best of all - best of the first two thirds) / best of all; None where either part has no validation, or no
      score is above 0.
    """
    end = 2 * len(curve) / 3
    early = [value for epoch, value in enumerate(curve, 1) if value is not None and epoch <= end]
    late = [value for epoch, value in enumerate(curve, 1) if value is not None and epoch > end]
    if not early or not late or max(*early, *late) <= 0:
        return None
    best = max(*early, *late)
    return (best - max(early)) / best
