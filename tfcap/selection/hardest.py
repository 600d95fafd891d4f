"""Hardest first: the examples with the highest score; ties go to the smaller id.

`gradient_norm` after Paul et al. 2021 (https://arxiv.org/abs/2107.07075), `loss` after study S4. Cost O(N log N).
At small fractions the hardest examples can be worse than random ones (Zheng et al. 2023, https://arxiv.org/abs/2210.15809).
"""

from __future__ import annotations

import numpy as np

from tfcap.selection.selector import Selector, Signals


def _hardest(name: str) -> Selector:
    def select(signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        return np.lexsort((signals.ids, -signals.score(name)))[:budget]

    return Selector(select, score=name)


GradientNorm = _hardest("gradient_norm")
Loss = _hardest("loss")
