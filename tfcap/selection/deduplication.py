"""Deduplication: the least redundant first, redundancy being the largest cosine to an earlier example of the cluster.

SemDeDup (Abbas et al. 2023, https://arxiv.org/abs/2303.09540): k-means over embeddings of length 1; inside a cluster
examples come in the order of their distance from the centroid, the farthest first, and one is redundant as far as it
resembles any before it. The paper drops what lies above a threshold; here all are ordered by it, so that every budget
corresponds to some threshold. Duplicates in different clusters are not seen.
Cost O(N clusters D) an iteration of k-means, then O(N^2 D / clusters) for clusters of equal size; O(N D) memory.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfcap.selection.clusters import clusters
from tfcap.selection.rows import unit_rows
from tfcap.selection.selector import EMBEDDING, Selector, Signals
from tfcap.selection.turns import split

_ROWS = 1024  # of a cluster, compared at a time
_DECIMALS = 6  # to which a float32 cosine is right, so that exact duplicates tie


@dataclasses.dataclass(frozen=True)
class Deduplication(Selector):
    """`clusters`: how many; 0 takes the square root of N, at which both parts of the cost grow alike."""

    clusters: int = 0

    @property
    def needs(self) -> tuple[str, ...]:
        return (EMBEDDING,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        unit = unit_rows(signals.embedding())
        cluster, centroids = clusters(unit, min(self.clusters or math.isqrt(len(unit)), len(unit)), rng)
        redundancy = np.empty(len(unit), np.float32)
        centroids = unit_rows(centroids)
        to_centroid = np.empty(len(unit), np.float32)
        for members in split(cluster, np.arange(len(unit))):
            to_centroid[members] = unit[members] @ centroids[cluster[members[0]]]
        for members in split(cluster, signals.descending(-to_centroid)):
            redundancy[members] = _largest_before(unit[members])
        return signals.descending(-np.round(redundancy, _DECIMALS))


def _largest_before(unit: np.ndarray) -> np.ndarray:
    """Returns for each row of [n, D] the largest product with an earlier row, float32 [n]; -1 for the first."""
    found = np.empty(len(unit), np.float32)
    for start in range(0, len(unit), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(unit)))
        products = unit[rows] @ unit[: rows[-1] + 1].T
        products[np.arange(rows[-1] + 1) >= rows[:, None]] = -1
        found[rows] = products.max(axis=1)
    return found
