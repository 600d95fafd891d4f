"""Influence: the examples whose gradients point where those of validation examples point, by vote of the targets.

After LESS (Xia et al. 2024, https://arxiv.org/abs/2402.04333): the influence of an example on a target is the cosine
of its gradient sketch with the mean sketch of the target's validation examples. Each target votes for the `budget`
examples of the highest influence; most votes first, ties by the mean influence (LESS takes the largest influence
instead of votes). With several targets the votes, and so the order, depend on the budget: a smaller budget is NOT the
beginning of a larger one. Cost O(N S G + G N log N) for G targets.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.rows import blocks, unit_rows
from tfcap.selection.selector import SKETCHES, Selector, Signals


@dataclasses.dataclass(frozen=True)
class Influence(Selector):
    @property
    def needs(self) -> tuple[str, ...]:
        return (SKETCHES,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        sketches, targets, groups = signals.sketch()
        means = unit_rows(np.stack([targets[groups == group].mean(axis=0) for group in np.unique(groups)]))
        influence = np.concatenate([unit_rows(block) @ means.T for _, block in blocks(sketches)])  # [N, G]
        votes = np.zeros(len(influence), np.int64)
        for of_target in influence.T:
            votes[signals.descending(of_target)[:budget]] += 1
        return np.lexsort((signals.ids, -influence.mean(axis=1), -votes))
