"""Random: every example equally likely; what any other method is held against."""

from __future__ import annotations

import numpy as np

from tfcap.selection.selector import Selector, Signals


def _select(signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the first `budget` of a permutation, so that a smaller fraction is part of a larger one. O(N)."""
    return rng.permutation(len(signals.ids))[:budget]


Random = Selector(_select)
