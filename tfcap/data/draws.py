"""Random numbers that depend on (seed, epoch, example id) alone, and on nothing that a machine could change."""

from __future__ import annotations

import zlib

import numpy as np


def draw(purpose: str, seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """Returns a uint64 hash per id (splitmix64, Steele et al. 2014): int64 [N] -> uint64 [N]."""
    with np.errstate(over="ignore"):
        key = np.uint64(zlib.crc32(purpose.encode()))
        value = ids.astype(np.uint64)
        for word in (key, np.uint64(seed), np.uint64(epoch)):
            value = (value + word + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            value = value ^ (value >> np.uint64(31))
    return value


def permutation(purpose: str, seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """Returns an order of the positions of `ids`: int64 [N]. Two ids keep their mutual order whatever else is kept."""
    return np.lexsort((ids, draw(purpose, seed, epoch, ids)))
