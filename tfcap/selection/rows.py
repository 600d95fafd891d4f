"""Embeddings read in blocks of rows, so that a memory-mapped array is never in memory twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_VALUES = 2**22  # of a block: 16 MiB in float32


def blocks(array: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yields (rows, float32 [rows, D]) over an array [N, D] of any float type; float32 is not copied."""
    size = max(1, _VALUES // max(1, array.shape[1]))
    for start in range(0, len(array), size):
        rows = slice(start, min(start + size, len(array)))
        yield rows, np.asarray(array[rows], np.float32)


def unit_rows(array: np.ndarray) -> np.ndarray:
    """Returns float32 [N, D], each row scaled to length 1; a row of zeros stays one. A copy of N D values."""
    unit = np.empty(array.shape, np.float32)
    for rows, block in blocks(array):
        length = np.linalg.norm(block, axis=1, keepdims=True)
        unit[rows] = block / np.where(length > 0, length, 1)
    return unit


def squares(array: np.ndarray) -> np.ndarray:
    """Returns the squared length of each row, float32 [N]."""
    return np.concatenate([np.einsum("nd,nd->n", block, block) for _, block in blocks(array)])


def products(array: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Returns the product of each row with a vector float32 [D], float32 [N]."""
    return np.concatenate([block @ vector for _, block in blocks(array)])
