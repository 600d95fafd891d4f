"""Queues merged by taking turns: what gives strata, clusters and classes one order that serves every budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def take_turns(queues: Sequence[np.ndarray], proportional: bool = False) -> np.ndarray:
    """Returns the queues' elements in one order; among queues whose turn it is, the longest comes first. O(N log N).

    Args:
      queues: int64 arrays, each in its own order.
      proportional: a queue's turns come in proportion to its length (Sainte-Lague), so that any beginning of the
        result holds about the same part of each; otherwise all queues have equal turns until they are empty.
    """
    lengths = np.array([len(queue) for queue in queues])
    queue = np.repeat(np.arange(len(queues)), lengths)
    turn = np.concatenate([np.arange(length) for length in lengths]) + 0.5
    if proportional:
        turn /= lengths[queue]
    return np.concatenate(queues)[np.lexsort((queue, -lengths[queue], turn))]


def split(groups: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Returns the elements of `order` by group: one array for each value of groups [N], in the order given."""
    sorted_order = order[np.argsort(groups[order], kind="stable")]
    _, sizes = np.unique(groups[order], return_counts=True)
    return np.split(sorted_order, np.cumsum(sizes)[:-1])
