"""How subsets of a data set relate to each other and to what is known of it. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln


def precision_and_recall(order: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both, float64 [N], of the first 1, 2, ..., N images in `order` as a search for the `wanted`, bool [N]."""
    hits = np.cumsum(wanted[order])
    return hits / np.arange(1, len(order) + 1), hits / max(1, hits[-1])


def types_seen(order: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Returns which part of all `types` [N] the first 1, 2, ..., N images in `order` show, float64 [N]."""
    _, first = np.unique(types[order], return_index=True)
    return np.searchsorted(np.sort(first), np.arange(len(order)), side="right") / len(first)


def types_seen_by_chance(types: np.ndarray) -> np.ndarray:
    """Returns the expectation of `types_seen` over all orders, float64 [N]."""
    count = len(types)
    taken, seen = np.arange(1, count + 1), np.zeros(count)
    sizes, how_many = np.unique(np.unique(types, return_counts=True)[1], return_counts=True)
    for size, times in zip(sizes, how_many, strict=True):
        # A type of `size` images is missed when all that is taken is among the others.
        others = np.maximum(count - size - taken, -1)
        missed = gammaln(count - size + 1) + gammaln(count - taken + 1) - gammaln(others + 1.0) - gammaln(count + 1)
        seen += times * (1 - np.where(others >= 0, np.exp(missed), 0))
    return seen / how_many.sum()


def jaccard(subsets: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the size of each two subsets' intersection over that of their union, float64 [M, M]; each is bool [N]."""
    both = np.array([[np.count_nonzero(one & other) for other in subsets] for one in subsets])
    return both / np.maximum(1, _sizes_added(subsets) - both)


def jaccard_by_chance(subsets: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the same for random subsets of these sizes, whose intersections have their expected size."""
    sizes = np.array([np.count_nonzero(one) for one in subsets])
    both = np.outer(sizes, sizes) / len(subsets[0])
    return both / np.maximum(1, _sizes_added(subsets) - both)


def _sizes_added(subsets: Sequence[np.ndarray]) -> np.ndarray:
    sizes = np.array([np.count_nonzero(one) for one in subsets])
    return sizes[:, None] + sizes
