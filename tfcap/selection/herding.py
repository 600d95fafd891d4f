"""Herding: each step takes the example that brings the mean of the kept embeddings closest to the mean of all.

Welling 2009 (https://dl.acm.org/doi/10.1145/1553374.1553517), as iCaRL picks its exemplars (Rebuffi et al. 2017,
https://arxiv.org/abs/1611.07725). Cost O(budget N D) time, as each step reads all embeddings; O(N) memory beside them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.rows import blocks, products, squares
from tfcap.selection.selector import EMBEDDING, Selector, Signals


@dataclasses.dataclass(frozen=True)
class Herding(Selector):
    @property
    def needs(self) -> tuple[str, ...]:
        return (EMBEDDING,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        points = signals.embedding()
        mean = sum(block.sum(axis=0, dtype=np.float64) for _, block in blocks(points)) / len(points)
        length = squares(points)  # infinite once an example is kept
        wanted = np.array(mean)  # (t + 1) mean - sum of the t kept, float64 [D]
        kept: list[int] = []
        while len(kept) < budget:
            # ||mean - (sum + x) / (t + 1)|| is smallest where ||wanted - x||^2 is, up to what does not depend on x.
            best = signals.largest(2 * products(points, wanted.astype(np.float32)) - length)
            kept.append(best)
            length[best] = np.inf
            wanted += mean - points[best]
        return np.array(kept)
