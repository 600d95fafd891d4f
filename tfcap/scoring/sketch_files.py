"""Gradient sketches as they are stored and as selectors see them; without TensorFlow."""

from __future__ import annotations

import numpy as np


def unpacked(sketches: np.ndarray) -> np.ndarray:
    """Returns sketches as numbers: float16 [N, S] as they are, bits uint8 [N, S / 8] as -1 and 1 int8 [N, S]."""
    if sketches.dtype != np.uint8:
        return sketches
    return np.unpackbits(sketches, axis=1).astype(np.int8) * 2 - 1


def for_influence(of_train: np.ndarray, targets: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Returns what the selector influence looks at: the sketches as numbers, and each target's group.

    Args:
      of_train, targets: sketches as stored, of the examples of train [N, ...] and of validation [M, ...].
      count: of the groups that the targets are dealt into.
      seed: of the dealing.
    """
    dealt = np.random.default_rng(seed).permutation(np.arange(len(targets)) % count)
    return {"sketches": unpacked(of_train), "target_sketches": unpacked(targets), "target_groups": dealt}
