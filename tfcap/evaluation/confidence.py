"""Bootstrap intervals over images, for means and for corpus scores that are functions of sums.

Source: Efron 1979, "Bootstrap methods: another look at the jackknife" (the percentile interval of Efron 1981);
for corpus scores of text, Koehn 2004, "Statistical significance tests for machine translation evaluation".
"""

from __future__ import annotations

import numpy as np

_BLOCK_ENTRIES = 2_000_000  # image counts held at once: 16 MB of int64


def resampled_sums(statistics: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums per-image statistics over images drawn with replacement.

    Every column is summed over the same draws, so scores made of different columns stay paired. The draws depend on
    the seed, the number of images and the number of resamples only.

    Args:
        statistics: [N, S], one row an image.
        resamples: how many samples of N images to draw, at least 1.
        seed: of the draws.

    Returns:
        [resamples, S] float64.
    """
    images, columns = statistics.shape
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, columns))
    block = max(1, _BLOCK_ENTRIES // images)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images)
        sums[start : start + rows] = counts.astype(np.float64) @ statistics
    return sums


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Returns the bounds of the central `level` of resampled scores ([resamples]): the percentile interval."""
    tail = 50 * (1 - level)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def bleu_from_sums(sums: np.ndarray) -> np.ndarray:
    """Gives BLEU-1 to BLEU-4 of summed statistics.

    Source: Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation", with the
    constants 1e-15 and 1e-9 by which coco-caption keeps empty counts from dividing by zero.

    Args:
        sums: [..., 10], over images: clipped matches of 1- to 4-grams, guesses of 1- to 4-grams, length of the
            candidate, length of the reference closest to it.

    Returns:
        [..., 4] float64 in [0, 1].
    """
    tiny, small = 1e-15, 1e-9
    precisions = (sums[..., :4] + tiny) / (sums[..., 4:8] + small)
    scores = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, 5))
    ratio = (sums[..., 8:9] + tiny) / (sums[..., 9:10] + small)
    return scores * np.exp(np.minimum(0, 1 - 1 / ratio))
