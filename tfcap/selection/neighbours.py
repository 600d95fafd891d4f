"""The nearest neighbours of every example by cosine, exactly."""

from __future__ import annotations

import numpy as np

from tfcap.selection.rows import unit_rows

_SIMILARITIES = 2**25  # computed at a time: 128 MiB


def nearest(points: np.ndarray, ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `count` nearest others of each example, nearest first, and their cosines; ties go to the smaller id.

    A row of zeros has cosine 0 with everything. Cost O(N^2 D) time, in blocks; O(N (D + count)) memory.

    Args:
      points: float [N, D].
      count: at most N - 1.

    Returns:
      int64 [N, count] positions and float32 [N, count].
    """
    unit, total = unit_rows(points), len(points)
    index, cosine = np.empty([total, count], np.int64), np.empty([total, count], np.float32)
    size = max(1, _SIMILARITIES // total)
    for start in range(0, total if count else 0, size):
        rows = np.arange(start, min(start + size, total))
        similar = unit[rows] @ unit.T
        similar[np.arange(len(rows)), rows] = -np.inf
        bars = np.partition(similar, total - count, axis=1)[:, total - count]
        for row, values, bar in zip(rows, similar, bars, strict=True):
            found = np.flatnonzero(values >= bar)
            found = found[np.lexsort((ids[found], -values[found]))][:count]
            index[row], cosine[row] = found, values[found]
    return index, cosine
