"""Retrieval of images by their captions and of captions by their images: ranks, recalls and median ranks.

Source: Hodosh, Young and Hockenmaier 2013, "Framing image description as a ranking task", section 5 (R@K and the median
rank), in the form of ALBEF's and BLIP's `itm_eval`, which the distillation of vision-language data sets took over (Wu
et al. 2024, "Vision-Language Dataset Distillation"): the rank of an image is that of the best of its captions.

That program sorts, and among equal scores the position decides: where every score is the same and captions follow the
order of their images, the first images are found always. Here equal wrong candidates count half each (the mid-rank), as
if a coin decided, so that no order of rows helps and equal scores have the median rank of guessing. Without ties both
are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

KS = (1, 5, 10)
_BLOCK_ENTRIES = 4_000_000  # scores looked at at once; with what is made of them about 70 MB


@dataclasses.dataclass(frozen=True)
class Ranks:
    """How many wrong candidates stand before the right one, from 0; a half where one has the same score."""

    image_to_text: np.ndarray  # [N] float64: of the best of an image's own captions, among those of other images
    text_to_image: np.ndarray  # [T] float64: of a caption's own image, among the other images
    image_of_text: np.ndarray  # [T] int64


def ranks(scores: np.ndarray, image_of_text: np.ndarray) -> Ranks:
    """Ranks the candidates of every image and every caption by a matrix of scores.

    Cost: O(N T) comparisons, in blocks that hold less than 100 MB beside the scores.

    Args:
      scores: [N, T] float, of N images with T captions; the higher, the better they match.
      image_of_text: [T] int, the row of each caption's image, in any order; every image has at least one caption.

    Raises:
      ValueError: a score is NaN, an image has no caption, or the shapes do not fit.
    """
    scores = np.asarray(scores)
    if scores.ndim != 2:
        raise ValueError(f"Scores are a matrix of images and captions, not of shape {scores.shape}")
    images, texts = scores.shape
    owners = _owners(image_of_text, images, texts)
    return Ranks(
        _of_images(lambda start, end: scores[start:end], owners, images, max(1, _BLOCK_ENTRIES // max(1, texts))),
        _of_texts(lambda start, end: scores[:, start:end], owners, max(1, _BLOCK_ENTRIES // max(1, images))),
        owners,
    )


def ranks_of(images: np.ndarray, texts: np.ndarray, image_of_text: np.ndarray, block: int = 256) -> Ranks:
    """Ranks by the products of vectors, without holding all the scores: `ranks(images @ texts.T, image_of_text)`.

    Each direction makes its own scores, so that a score is only compared with those of the same product. It is the same
    up to rounding: the last bit of a product depends on the block, and two scores that are as near may change places.
    Cost: O(2 N T D).

    Args:
      images: [N, D] float, of length 1 where the product is to be the cosine.
      texts: [T, D] float.
      image_of_text: [T] int, as for `ranks`.
      block: how many images, then how many captions, are multiplied at once.

    Raises:
      ValueError: as `ranks`, and where the two kinds of vectors differ in size.
    """
    images, texts = (np.asarray(vectors) for vectors in (images, texts))
    if images.ndim != 2 or texts.ndim != 2 or images.shape[1] != texts.shape[1]:
        raise ValueError(f"Vectors of images {images.shape} and of captions {texts.shape} have no product")
    kind = np.result_type(images, texts, np.float32)  # half precision would make ties
    images, texts = images.astype(kind, copy=False), texts.astype(kind, copy=False)
    owners = _owners(image_of_text, len(images), len(texts))
    return Ranks(
        _of_images(lambda start, end: images[start:end] @ texts.T, owners, len(images), block),
        _of_texts(lambda start, end: images @ texts[start:end].T, owners, block),
        owners,
    )


def hits(found: Ranks, k: int) -> dict[str, np.ndarray]:
    """Returns for each direction how much of an image is found among the first k, [N] float64 in 0..1.

    Image to text it is 0 or 1: whether a caption of its own is among the first k. Text to image it is the share of its
    captions that have it among their first k. Both are by image, the unit that is drawn at random, and so fit
    `crossed.mean_over_seeds` as rows of [S, N].
    """
    own = np.bincount(found.image_of_text)
    of_texts = np.bincount(found.image_of_text, weights=found.text_to_image < k)
    return {"image_to_text": (found.image_to_text < k).astype(np.float64), "text_to_image": of_texts / own}


def summary(found: Ranks) -> dict[str, dict[str, Any]]:
    """Returns the usual numbers of both directions, and what each image contributed to them.

    A mid-rank r is among the first K where r < K. Text to image, R@K is over captions; that is the mean of `per_item`
    where every image has as many.

    Returns:
      `image_to_text` and `text_to_image`: each R@1, R@5 and R@10 in percent, and `median_rank` from 1. `per_item`: for
      each direction the hits of R@1, R@5 and R@10, [N] float64 in 0..1 (`hits`).
    """
    names = ("image_to_text", "text_to_image")
    by_image = {k: hits(found, k) for k in KS}
    numbers: dict[str, dict[str, Any]] = {}
    for name in names:
        places = getattr(found, name)
        recalls = {f"R@{k}": 100 * np.count_nonzero(places < k) / len(places) for k in KS}
        numbers[name] = {**recalls, "median_rank": float(np.median(places)) + 1}
    return {**numbers, "per_item": {name: {f"R@{k}": by_image[k][name] for k in KS} for name in names}}


def _owners(image_of_text: np.ndarray, images: int, texts: int) -> np.ndarray:
    """Returns the row of each caption's image; raises ValueError where one is missing or an image has none."""
    owners = np.asarray(image_of_text)
    if owners.shape != (texts,) or (texts and not np.issubdtype(owners.dtype, np.integer)):
        raise ValueError(f"{texts} captions need whole numbers of shape ({texts},), not {owners.dtype} {owners.shape}")
    if texts and not 0 <= owners.min() <= owners.max() < images:
        raise ValueError(f"Captions are of images {owners.min()} to {owners.max()}; there are {images}, from 0")
    without = np.flatnonzero(np.bincount(owners.astype(np.int64), minlength=images) == 0)
    if len(without) or not images:
        raise ValueError(f"{len(without)} of {images} images have no caption; each needs at least one")
    return owners.astype(np.int64)


def _of_images(rows: Callable[[int, int], np.ndarray], owners: np.ndarray, images: int, block: int) -> np.ndarray:
    """Returns the rank [N] of each image's best caption; `rows` gives the scores of some images, [B, T]."""
    found = np.empty(images)
    for start in range(0, images, block):
        end = min(images, start + block)
        scores = _checked(rows(start, end))
        own = owners == np.arange(start, end)[:, None]
        best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
        better = np.count_nonzero(scores > best, axis=1)  # none of its own
        found[start:end] = better + np.count_nonzero((scores == best) & ~own, axis=1) / 2
    return found


def _of_texts(columns: Callable[[int, int], np.ndarray], owners: np.ndarray, block: int) -> np.ndarray:
    """Returns the rank [T] of each caption's image; `columns` gives the scores of some captions, [N, B]."""
    found = np.empty(len(owners))
    for start in range(0, len(owners), block):
        end = min(len(owners), start + block)
        scores = _checked(columns(start, end))
        own = scores[owners[start:end], np.arange(end - start)]
        others = np.count_nonzero(scores == own, axis=0) - 1
        found[start:end] = np.count_nonzero(scores > own, axis=0) + others / 2
    return found


def _checked(scores: np.ndarray) -> np.ndarray:
    if np.isnan(scores).any():
        raise ValueError("A score is NaN, and has no rank")
    return scores
