"""Random: every example equally likely; what any other method is held against. Cost O(N)."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.selector import Selector, Signals


@dataclasses.dataclass(frozen=True)
class Random(Selector):
    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(len(signals.ids))
