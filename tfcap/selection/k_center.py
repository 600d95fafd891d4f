"""k-centre, greedy: each step takes the example that is farthest from all that are kept; the first is drawn.

Sener & Savarese 2018 (https://arxiv.org/abs/1708.00489); the largest distance to a kept example is at most twice the
optimum (Gonzalez 1985). Cost O(budget N D) time at most, O(N + budget D) memory: beside the memory-mapped embeddings,
one running minimum of length N and the centres.

A running minimum only falls, so one that has not seen the latest centres is an upper bound. Only the examples with the
largest bounds are brought up to date, as one matrix product, and centres are taken among them until an example outside
could be farther. The order is that of the plain greedy method, which reads all embeddings for each centre.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.rows import products, squares
from tfcap.selection.selector import EMBEDDING, Selector, Signals

_CANDIDATES = 2048  # brought up to date at a time; the distances between them are 16 MiB
_CENTRES = 4096  # in one matrix product


@dataclasses.dataclass(frozen=True)
class KCenter(Selector):
    @property
    def needs(self) -> tuple[str, ...]:
        return (EMBEDDING,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        search = _Search(signals.embedding(), signals.ids, budget, int(rng.integers(len(signals.ids))))
        while search.count < budget:
            search.take_some()
        return search.kept


class _Search:
    """The kept so far and, for every example, the squared distance to the nearest of those that it has seen.

    Attributes:
      kept: int64 [budget], positions; the first `count` are chosen.
      distance: float32 [N], an upper bound; -1 for a kept example.
      seen: int64 [N], how many of the kept the distance has seen.
    """

    def __init__(self, points: np.ndarray, ids: np.ndarray, budget: int, first: int) -> None:
        self.points, self.ids, self.length = points, ids, squares(points)
        self.centres = np.empty([budget, points.shape[1]], np.float32)
        self.kept, self.count = np.zeros(budget, np.int64), 0
        self._keep(first)
        self.distance = _squared(self.length, products(points, self.centres[0]), self.length[first])
        self.distance[first] = -1
        self.seen = np.ones(len(points), np.int64)

    def _keep(self, position: int) -> None:
        self.kept[self.count], self.centres[self.count] = position, self.points[position]
        self.count += 1

    def take_some(self) -> None:
        """Takes every centre that is certain once the examples with the largest bounds are up to date."""
        near, bound, bound_id = self._candidates()
        points = np.asarray(self.points[near], np.float32)
        length = self.length[near]
        distance = self._up_to_date(near, points)
        between = _squared(length[:, None], points @ points.T, length)
        while self.count < len(self.kept):
            best = int(np.argmax(distance))  # the smallest id among equals: `near` is in the order of ids
            if (distance[best], -self.ids[near[best]]) < (bound, -bound_id):
                break
            self._keep(near[best])
            distance = np.minimum(distance, between[best])
            distance[best] = -1
        self.distance[near], self.seen[near] = distance, self.count

    def _candidates(self) -> tuple[np.ndarray, float, int]:
        """Returns the positions with the largest bounds, in the order of ids, and the next bound with its id."""
        size = min(_CANDIDATES + 1, len(self.distance))
        bar = np.partition(self.distance, -size)[-size]
        found = np.flatnonzero(self.distance >= bar)
        found = found[np.lexsort((self.ids[found], -self.distance[found]))]
        near, beyond = found[:_CANDIDATES], found[_CANDIDATES:]
        near = near[self.distance[near] >= 0]
        bound, bound_id = (self.distance[beyond[0]], self.ids[beyond[0]]) if len(beyond) else (-1.0, 0)
        return near[np.argsort(self.ids[near])], float(bound), int(bound_id)

    def _up_to_date(self, near: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Returns the distances of the candidates after all centres."""
        distance, seen = self.distance[near], self.seen[near]
        for start in range(int(seen.min()), self.count, _CENTRES):
            new = slice(start, min(start + _CENTRES, self.count))
            rows = np.flatnonzero(seen < new.stop)
            product = points[rows] @ self.centres[new].T
            to_new = _squared(self.length[near[rows], None], product, self.length[self.kept[new]])
            distance[rows] = np.minimum(distance[rows], to_new.min(axis=1))
        return distance


def _squared(a: np.ndarray, product: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns ||x - y||^2 from ||x||^2, x.y and ||y||^2; rounding does not take it below 0."""
    return np.maximum(a - 2 * product + b, 0)
