"""k-means prototypes: as many clusters as the budget, and from each the example nearest to its centroid (study S5).

With `clusters` given, turns go round the clusters, the largest first and each giving its next nearest example, and a
smaller budget is the beginning of a larger one. With as many clusters as the budget it is NOT: each budget has its own.
Cost O(N clusters D) an iteration: quadratic in N at a fixed fraction; `clusters.py` says when mini-batches take over.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.clusters import clusters
from tfcap.selection.rows import blocks
from tfcap.selection.selector import EMBEDDING, Selector, Signals
from tfcap.selection.turns import split, take_turns


@dataclasses.dataclass(frozen=True)
class KMeansPrototypes(Selector):
    """`clusters`: how many; 0 makes as many as the budget."""

    clusters: int = 0

    @property
    def needs(self) -> tuple[str, ...]:
        return (EMBEDDING,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        points = signals.embedding()
        cluster, centroids = clusters(points, min(self.clusters or budget, len(points)), rng)
        offsets = (block - centroids[cluster[rows]] for rows, block in blocks(points))
        distance = np.concatenate([np.einsum("nd,nd->n", offset, offset) for offset in offsets])
        return take_turns(split(cluster, signals.descending(-distance)))
