"""Class-balanced: another selector inside each class, the same part of every class but for rounding.

Turns go to the classes in proportion to their sizes (the divisor method of Sainte-Lague), so that a smaller budget is
the beginning of a larger one where that holds for the selector inside. Cost: that of the selector, class by class, and
a copy of one class's signals at a time.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.selector import LABELS, Selector, Signals
from tfcap.selection.turns import split, take_turns


@dataclasses.dataclass(frozen=True)
class ClassBalanced(Selector):
    inside: Selector

    @property
    def needs(self) -> tuple[str, ...]:
        return (*self.inside.needs, LABELS)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        labels = signals.label()
        classes = split(labels, np.arange(len(labels)))
        turns = labels[take_turns(classes, proportional=True)[:budget]]  # the class that each turn goes to
        kept = np.empty(budget, np.int64)
        for members, own in zip(classes, rng.spawn(len(classes)), strict=True):
            mine = np.flatnonzero(turns == labels[members[0]])
            if len(mine):
                kept[mine] = members[self.inside.order(signals.subset(members), len(mine), own)[: len(mine)]]
        return kept
