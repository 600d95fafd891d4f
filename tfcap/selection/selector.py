"""What every selector is, and the checks that all of them share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from tfcap.errors import InputError


@dataclasses.dataclass(frozen=True)
class Signals:
    """What a selector may look at.

    Attributes:
      ids: int64 [N], in record order.
      scores: float [N] by name of the score.
    """

    ids: np.ndarray
    scores: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def score(self, name: str) -> np.ndarray:
        """Returns the scores `name`; raises InputError naming the first id whose score is not a number."""
        scores = self.scores[name]
        wrong = np.flatnonzero(np.isnan(scores))
        if len(wrong):
            raise InputError(
                f"The score {name} of image {self.ids[wrong[0]]} is NaN",
                received=f"{len(wrong)} such scores of {len(scores)}",
            )
        return scores


@dataclasses.dataclass(frozen=True)
class Selector:
    """A method of selection.

    Attributes:
      select: (signals, budget, rng) -> positions int64 [budget], in the order of selection. Deterministic in rng.
      score: name of the score it needs, or None.
    """

    select: Callable[[Signals, int, np.random.Generator], np.ndarray]
    score: str | None = None

    def __call__(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the ids int64 [budget] in the order of selection.

        Raises:
          InputError: the budget is not in [1, N].
        """
        if not 1 <= budget <= len(signals.ids):
            raise InputError("The budget is out of range", received=budget, expected=f"1 to {len(signals.ids)} images")
        return signals.ids[self.select(signals, budget, rng)]


def budget_of(fraction: float, count: int) -> int:
    """Returns floor(fraction * count), with 0.29 * 100 being 29; raises InputError where that is 0."""
    budget = math.floor(fraction * count + 1e-9)
    if budget == 0:
        raise InputError(
            "--fraction keeps no image", received=f"{fraction:g} of {count} images", expected=f"at least {1 / count:g}"
        )
    return budget
