"""Mixed quotas: several selectors take turns in proportion to their shares, each giving its next example not yet kept.

A smaller budget is the beginning of a larger one where that holds for every part. Each part is asked for the whole
budget, since its first choices may be taken; the cost is the sum of the parts' costs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.selector import Selector, Signals


@dataclasses.dataclass(frozen=True)
class Mixed(Selector):
    """`parts`: the selectors, each with its share, above 0; the shares need not add up to 1."""

    parts: tuple[tuple[Selector, float], ...]

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need for selector, _ in self.parts for need in selector.needs))

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        # Each part draws from its own generator, so that no part's draws depend on another's.
        drawn = zip(self.parts, rng.spawn(len(self.parts)), strict=True)
        queues = [iter(selector.order(signals, budget, own)[:budget].tolist()) for (selector, _), own in drawn]
        turns, kept = np.zeros(len(self.parts)), dict[int, None]()
        shares = np.array([share for _, share in self.parts])
        while len(kept) < budget:
            part = int(np.argmin((turns + 0.5) / shares))
            kept[next(position for position in queues[part] if position not in kept)] = None
            turns[part] += 1
        return np.array(list(kept))
