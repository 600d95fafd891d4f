"""Accuracy of predicted classes, of all pictures and class by class, with Wilson's intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from tfcap.errors import InputError
from tfcap.evaluation.caption_metrics import Evaluation
from tfcap.evaluation.quality import ACCURACY


def evaluate(references: Mapping[int, Sequence[str]], predictions: Mapping[int, str]) -> Evaluation:
    """Compares one predicted class an image with the image's own.

    Source of the intervals: Wilson 1927, "Probable inference, the law of succession, and statistical inference"; 95 %,
    of the images alone.

    Args:
      references: the name of the one class of each image id.
      predictions: a name for each of the same ids.

    Returns:
      The evaluation, in the order of `references`: `accuracy` and, by class, `per_class`.

    Raises:
      InputError: no images, ids that differ, or an image that is not of one class.
    """
    if not references or references.keys() != predictions.keys():
        raise InputError(
            "Each image needs its class and a prediction",
            received=f"{len(references)} classes and {len(predictions)} predictions",
            expected="the same images, at least one",
        )
    others = [key for key, names in references.items() if len(names) != 1]
    if others:
        raise InputError(f"Image {others[0]!r} is not of one class", received=repr(references[others[0]]))
    truth = np.array([names[0] for names in references.values()])
    right = truth == np.array([predictions[key] for key in references])
    per_class = {name: _proportion(right[truth == name]) for name in sorted(set(truth.tolist()))}
    metrics: dict[str, Any] = {ACCURACY: _proportion(right), "per_class": per_class}
    return Evaluation(metrics, tuple(references), {ACCURACY: right.astype(np.float64)}, "classes")


def _proportion(right: np.ndarray) -> dict[str, float]:
    """Returns the part that is True of bool [N], N > 0, with Wilson's interval."""
    bounds = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {"value": float(right.mean()), "low": float(bounds.low), "high": float(bounds.high)}
