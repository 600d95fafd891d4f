"""Facility location: each step takes the example that most raises how well all examples are represented.

How well: the sum over all examples of the largest similarity to a kept one, max(cosine, 0). It is submodular, so the
greedy choice reaches (1 - 1/e) of the optimum (Nemhauser et al. 1978), and a gain computed earlier is an upper bound,
which spares most evaluations (lazy greedy, Minoux 1978, https://doi.org/10.1007/BFb0006528).

Only the similarities of each example to itself and its nearest neighbours count, the others are 0: with at most
`neighbours` + 1 examples this is the full function, beyond that an approximation, and the bound holds for what is left
of it. Cost O(N^2 D) time for the neighbours, then O(neighbours) an evaluation on average, at most budget N of them and
in practice a few a step; O(N (D + neighbours)) memory.
"""

from __future__ import annotations

import dataclasses
import heapq

import numpy as np

from tfcap.selection.neighbours import nearest
from tfcap.selection.rows import squares
from tfcap.selection.selector import EMBEDDING, Selector, Signals

_DECIMALS = 5  # to which a sum of float32 cosines is right, so that gains that are equal tie


@dataclasses.dataclass(frozen=True)
class FacilityLocation(Selector):
    neighbours: int = 64

    @property
    def needs(self) -> tuple[str, ...]:
        return (EMBEDDING,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        points, count = signals.embedding(), len(signals.ids)
        index, cosine = nearest(points, signals.ids, min(self.neighbours, count - 1))
        itself = np.arange(count)[:, None]
        represented = np.repeat(itself, index.shape[1] + 1, axis=1).ravel()
        by = np.concatenate([itself, index], axis=1).ravel()
        similarity = np.concatenate([squares(points)[:, None] > 0, np.clip(cosine, 0, 1)], axis=1).ravel()
        by_candidate = np.argsort(by, kind="stable")  # from whom each represents to whom
        ends = np.cumsum(np.bincount(by, minlength=count))[:-1]
        rows, values = np.split(represented[by_candidate], ends), np.split(similarity[by_candidate], ends)
        return _lazy_greedy(rows, values, signals.ids, budget)


def _lazy_greedy(rows: list[np.ndarray], values: list[np.ndarray], ids: np.ndarray, budget: int) -> np.ndarray:
    """Returns `budget` candidates; candidate c represents the examples rows[c] with the similarities values[c]."""
    best = np.zeros(len(ids))  # of each example: the largest similarity to a kept one

    def gain(candidate: int) -> float:
        return round(float(np.maximum(values[candidate] - best[rows[candidate]], 0).sum()), _DECIMALS)

    bounds = [(-gain(candidate), int(ids[candidate]), candidate) for candidate in range(len(ids))]
    heapq.heapify(bounds)
    kept: list[int] = []
    while len(kept) < budget:
        _, number, candidate = heapq.heappop(bounds)
        fresh = (-gain(candidate), number, candidate)
        if bounds and fresh > bounds[0]:
            heapq.heappush(bounds, fresh)
            continue
        kept.append(candidate)
        best[rows[candidate]] = np.maximum(best[rows[candidate]], values[candidate])
    return np.array(kept)
