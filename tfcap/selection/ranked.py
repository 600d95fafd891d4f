"""Ranked by one score: the hardest first, the easiest first, or from the median outwards. Cost O(N log N).

`gradient_norm` and `el2n` after Paul et al. 2021 (https://arxiv.org/abs/2107.07075), `loss` after study
S4, `forgetting` after Toneva et al. 2019 (https://arxiv.org/abs/1812.05159).
At small fractions the hardest examples can be worse than random ones (Zheng et al. 2023,
https://arxiv.org/abs/2210.15809); the easiest can then be better (Sorscher et al. 2022, https://arxiv.org/abs/2206.14486).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from tfcap.selection.selector import Selector, Signals


@dataclasses.dataclass(frozen=True)
class Hardest(Selector):
    score: str = "loss"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.score,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        return signals.descending(signals.score(self.score))


class Easiest(Hardest):
    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        return signals.descending(-signals.score(self.score))


class Median(Hardest):
    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the ranks nearest to the middle one first, so that any budget is a band around the median."""
        ranked = super().order(signals, budget, rng)
        from_middle = np.empty(len(ranked), np.int64)
        from_middle[ranked] = np.abs(2 * np.arange(len(ranked)) - (len(ranked) - 1))
        return signals.descending(-from_middle)


GradientNorm = functools.partial(Hardest, "gradient_norm")
Loss = functools.partial(Hardest, "loss")
EL2N = functools.partial(Hardest, "el2n")
Forgetting = functools.partial(Hardest, "forgetting")
