"""D2 pruning: difficulty spread to similar examples, then the most difficult taken while its neighbours are discounted.

Maharana et al. 2023 (https://arxiv.org/abs/2310.07931). On the undirected graph of nearest neighbours with edges
exp(-gamma d^2), forward message passing adds to each score its neighbours' scores times their edges; then each step
takes the highest value and reverse message passing subtracts it, times the edge, from each neighbour's. The distances d
are between embeddings scaled to length 1, so that gamma means the same for every encoder; the paper's are not scaled.
Cost O(N^2 D) time for the graph, O(budget N) for the steps; O(N (D + neighbours)) memory.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.neighbours import nearest
from tfcap.selection.selector import EMBEDDING, Selector, Signals


@dataclasses.dataclass(frozen=True)
class D2(Selector):
    score: str = "loss"
    neighbours: int = 10
    gamma_forward: float = 1.0
    gamma_reverse: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.score, EMBEDDING)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        score = signals.score(self.score, finite=True).astype(np.float64)
        neighbours = min(self.neighbours, len(score) - 1)
        start, end, squared_distance = _edges(*nearest(signals.embedding(), signals.ids, neighbours))
        forward, reverse = (np.exp(-gamma * squared_distance) for gamma in (self.gamma_forward, self.gamma_reverse))
        value = score + np.bincount(start, forward * score[end], minlength=len(score))
        first = np.searchsorted(start, np.arange(len(score) + 1))
        kept: list[int] = []
        while len(kept) < budget:
            best = signals.largest(value)
            edges = slice(first[best], first[best + 1])
            value[end[edges]] -= reverse[edges] * value[best]
            value[best] = -np.inf
            kept.append(best)
        return np.array(kept)


def _edges(index: np.ndarray, cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns start [E], end [E] and squared distance [E] of the edges, each in both directions, sorted by start."""
    count, degree = index.shape
    near, far = np.repeat(np.arange(count), degree), index.ravel()
    both = np.concatenate([near * count + far, far * count + near])
    edges, which = np.unique(both, return_index=True)
    cosines = np.tile(cosine.ravel().astype(np.float64), 2)[which]
    return edges // count, edges % count, np.maximum(2 - 2 * cosines, 0)
